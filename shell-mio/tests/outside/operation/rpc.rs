//! JSON-RPC at `POST /`, from outside: every method with its fields, the standard's errors, batches, notifications, and
//! who needs the token.

use crate::network::{Network, SECOND};
use crate::operator::http;
use serde_json::{Value, json};

const HOSTS: [u8; 3] = [1, 2, 3];
const METHODS: [&str; 18] = [
    "getblockcount",
    "getblock",
    "getnetworkinfo",
    "getpeerinfo",
    "getconnectioncount",
    "masternodelist",
    "masternodestatus",
    "getconsensusinfo",
    "getattestationstats",
    "sendrawtransaction",
    "getmempoolinfo",
    "addnode",
    "disconnectnode",
    "setban",
    "listbanned",
    "clearbanned",
    "uptime",
    "stop",
];

/// A call with the token; the whole answer.
fn call(network: &Network, method: &str, params: &Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
    let (status, answer) = network.ask(1, "POST", "/", &body.to_string());
    assert_eq!((status, &answer["jsonrpc"], &answer["id"]), (200, &"2.0".into(), &7.into()), "{answer}");
    answer
}

fn result(network: &Network, method: &str, params: &Value) -> Value {
    let answer = call(network, method, params);
    assert!(answer.get("error").is_none(), "{method} {params}: {answer}");
    answer["result"].clone()
}

fn code(network: &Network, method: &str, params: &Value) -> i64 {
    let answer = call(network, method, params);
    assert!(answer.get("result").is_none(), "{method} {params}: {answer}");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(!message.is_empty(), "{answer}");
    println!("{method} {params}: {} {message}", answer["error"]["code"]);
    answer["error"]["code"].as_i64().unwrap()
}

/// A field, and whether its value is of the right kind.
type Kind<'a> = (&'a str, fn(&Value) -> bool);

fn kinds(object: &Value, fields: &[Kind<'_>]) {
    for (name, is) in fields {
        assert!(object.get(*name).is_some_and(is), "{name} is missing or of another kind: {object}");
    }
}

#[test]
fn every_method_answers_with_the_fields_that_scripts_know() {
    let network = Network::standing(&HOSTS);
    network.eventually("there are two blocks", 40 * SECOND, || {
        network.get(1, "/blocks/latest").1["height"].as_u64() >= Some(2)
    });

    let height = result(&network, "getblockcount", &json!([])).as_u64().unwrap();
    assert!(height >= 2);
    let hash = result(&network, "getblockhash", &json!([1]));
    let block = result(&network, "getblock", &json!([hash]));
    kinds(
        &block,
        &[
            ("confirmations", Value::is_u64),
            ("version", Value::is_u64),
            ("merkleroot", Value::is_string),
            ("time", Value::is_u64),
            ("nTx", Value::is_u64),
            ("nextblockhash", Value::is_string),
            ("size", Value::is_u64),
            ("tx", Value::is_array),
            ("proposer", Value::is_string),
        ],
    );
    assert_eq!((&block["hash"], &block["height"]), (&hash, &1.into()));
    assert_eq!(block["previousblockhash"], "0".repeat(64), "{block}");
    assert_eq!(result(&network, "getblock", &json!([1]))["hash"], hash, "a height does as well");
    assert_eq!(result(&network, "getblock", &json!({ "blockhash": hash }))["hash"], hash);
    let raw = result(&network, "getblock", &json!([hash, 0]));
    assert_eq!(raw.as_str().unwrap().len() as u64, 2 * block["size"].as_u64().unwrap());
    for (params, expected) in [
        (json!([hash, 3]), -32_602),
        (json!(["zz"]), -32_602),
        (json!(["0".repeat(64)]), -5),
        (json!([1_000_000]), -8),
        (json!([-1]), -32_602),
        (json!([1.5]), -32_602),
        (json!([]), -32_602),
        (json!([hash, 1, 1]), -32_602),
        (json!({ "blockhahs": hash }), -32_602),
    ] {
        assert_eq!(code(&network, "getblock", &params), expected, "{params}");
    }
    assert_eq!(code(&network, "getblockhash", &json!([1_000_000])), -8);

    let info = result(&network, "getnetworkinfo", &json!([]));
    kinds(
        &info,
        &[
            ("version", Value::is_u64),
            ("subversion", Value::is_string),
            ("protocolversion", Value::is_u64),
            ("timeoffset", Value::is_i64),
            ("networkactive", Value::is_boolean),
            ("networks", Value::is_array),
            ("localaddresses", Value::is_array),
            ("warnings", Value::is_array),
        ],
    );
    assert_eq!([&info["connections"], &info["connections_in"], &info["connections_out"]], [2, 0, 2]);
    assert_eq!(info["localaddresses"][0]["port"], 24_100);

    let peers = result(&network, "getpeerinfo", &json!([]));
    assert_eq!(peers.as_array().unwrap().len(), 2);
    for peer in peers.as_array().unwrap() {
        kinds(
            peer,
            &[
                ("id", Value::is_u64),
                ("addr", Value::is_string),
                ("network", |v| v == "ipv4"),
                ("bytessent", Value::is_u64),
                ("bytesrecv", Value::is_u64),
                ("conntime", Value::is_u64),
                ("pingtime", |v| v.is_f64() || v.is_null()),
                ("version", Value::is_u64),
                ("subver", Value::is_string),
                ("inbound", |v| v == false),
                ("synced_blocks", Value::is_u64),
                ("connection_type", Value::is_string),
                ("node_id", Value::is_string),
            ],
        );
    }
    assert_eq!(result(&network, "getconnectioncount", &json!([])), 2);

    let list = result(&network, "masternodelist", &json!([]));
    assert_eq!(list.as_object().unwrap().len(), 3);
    assert_eq!(list[network.id(2)]["status"], "ENABLED");
    assert_eq!(result(&network, "masternodelist", &json!(["addr"]))[network.id(3)], network.addr(3));
    let filtered = result(&network, "masternodelist", &json!({ "filter": network.ip(2).to_string() }));
    assert_eq!(filtered.as_object().unwrap().keys().collect::<Vec<_>>(), [network.id(2)]);
    assert_eq!(code(&network, "masternodelist", &json!(["nonsense"])), -32_602);
    let own = result(&network, "masternodestatus", &json!([]));
    assert_eq!([&own["state"], &own["service"]], ["READY", network.addr(1).as_str()]);

    network.eventually("the snapshot tells of both links", SECOND, || {
        let info = result(&network, "getconsensusinfo", &json!([]));
        [&info["active_masternodes"], &info["connected_peers"]] == [3, 2]
    });
    let info = result(&network, "getconsensusinfo", &json!([]));
    assert!(info["consensus"]["leader"].is_string(), "{info}");
    let stats = result(&network, "getattestationstats", &json!([]));
    assert_eq!([&stats["registered"], &stats["active"]], [3, 3]);
    kinds(&stats, &[("heartbeats", Value::is_u64), ("attested", Value::is_u64)]);
    assert_eq!(stats["masternodes"].as_array().unwrap().len(), 3);
    let mempool = result(&network, "getmempoolinfo", &json!([]));
    kinds(&mempool, &[("size", Value::is_u64), ("bytes", Value::is_u64), ("maxmempool", Value::is_u64)]);
    assert!(result(&network, "uptime", &json!([])).as_u64().unwrap() < 600);
    let help = result(&network, "help", &json!([]));
    assert!(METHODS.iter().all(|method| help.as_str().unwrap().contains(method)), "{help}");

    let id = result(&network, "sendrawtransaction", &json!(["c0ffee"]));
    network.eventually("the transaction is in a block", 40 * SECOND, || {
        network.get(1, &format!("/tx/{}", id.as_str().unwrap())).1["state"] == "committed"
    });
    let at = network.get(1, &format!("/tx/{}", id.as_str().unwrap())).1["height"].clone();
    let block = result(&network, "getblock", &json!([at, 2]));
    assert_eq!(block["tx"][0], json!({ "txid": id, "size": 3, "hex": "c0ffee" }), "{block}");
    for (params, expected) in [
        (json!(["c0ffee"]), -27),
        (json!(["c0ffe"]), -22),
        (json!(["xy"]), -22),
        (json!([""]), -26),
        (json!(["00".repeat(65_537)]), -26),
        (json!([7]), -32_602),
    ] {
        assert_eq!(code(&network, "sendrawtransaction", &params), expected);
    }
}

#[test]
fn peers_and_bans_are_changed_as_scripts_do_it() {
    let network = Network::standing(&HOSTS);
    let peers = result(&network, "getpeerinfo", &json!([]));
    let number =
        peers.as_array().unwrap().iter().find(|peer| peer["node_id"] == network.id(2)).unwrap()["id"].clone();
    assert_eq!(result(&network, "disconnectnode", &json!({ "nodeid": number })), Value::Null);
    network.eventually("the link ends", SECOND, || network.session(1, 2).is_none());
    assert_eq!(code(&network, "disconnectnode", &json!([network.addr(2)])), -29, "it is not connected");
    assert_eq!(code(&network, "disconnectnode", &json!(["10.9.9.9:1"])), -29);
    assert_eq!(code(&network, "disconnectnode", &json!([])), -32_602);
    assert_eq!(code(&network, "disconnectnode", &json!(["nobody!"])), -32_602);
    assert_eq!(result(&network, "addnode", &json!([network.addr(2), "onetry"])), Value::Null);
    network.eventually("the link stands again", 5 * SECOND, || network.session(1, 2).is_some());
    assert_eq!(result(&network, "addnode", &json!(["127.0.0.9:9", "add"])), Value::Null);
    assert_eq!(code(&network, "addnode", &json!(["127.0.0.9:9", "add"])), -23);
    assert_eq!(result(&network, "addnode", &json!(["127.0.0.9:9", "remove"])), Value::Null);
    assert_eq!(code(&network, "addnode", &json!(["127.0.0.9:9", "remove"])), -24);
    assert_eq!(network.get(1, "/why/127.0.0.9:9").0, 404, "it is sought no more");
    assert_eq!(code(&network, "addnode", &json!(["127.0.0.9", "add"])), -32_602);
    assert_eq!(code(&network, "addnode", &json!(["127.0.0.9:9", "nonsense"])), -32_602);

    assert_eq!(
        result(&network, "setban", &json!(["203.0.113.9/24", "add", 3600, false, "flood"])),
        Value::Null
    );
    assert_eq!(code(&network, "setban", &json!(["203.0.113.0/24", "add"])), -23);
    assert_eq!(code(&network, "setban", &json!(["300.1.1.1", "add"])), -30);
    assert_eq!(code(&network, "setban", &json!(["10.0.0.1", "remove"])), -30);
    assert_eq!(code(&network, "setban", &json!(["10.0.0.1", "add", 1, true])), -8);
    assert_eq!(code(&network, "setban", &json!(["10.0.0.1", "add", "soon"])), -32_602);
    assert_eq!(result(&network, "setban", &json!({ "subnet": "10.0.0.1", "command": "add" })), Value::Null);
    let bans = result(&network, "listbanned", &json!([]));
    let [first, second] = bans.as_array().unwrap().as_slice() else { panic!("{bans}") };
    kinds(first, &[("ban_created", Value::is_u64), ("banned_until", Value::is_u64)]);
    assert_eq!([&first["address"], &first["ban_reason"]], ["203.0.113.0/24", "flood"]);
    assert_eq!(
        [&first["ban_duration"], &second["ban_duration"]],
        [3600, 86_400],
        "a day where nothing is said"
    );
    assert!((3_590..=3_600).contains(&first["time_remaining"].as_u64().unwrap()), "{first}");
    assert_eq!(result(&network, "setban", &json!(["10.0.0.1", "remove"])), Value::Null);
    assert_eq!(result(&network, "clearbanned", &json!([])), Value::Null);
    assert_eq!(result(&network, "listbanned", &json!([])), json!([]));
}

#[test]
fn the_envelope_is_the_standards_and_the_token_is_for_what_changes_something() {
    let mut network = Network::standing(&[1, 2]);
    let url = network.url(1, "/");
    let open = |body: &Value| http("POST", &url, None, &body.to_string());
    let count = json!({ "jsonrpc": "2.0", "method": "getconnectioncount", "id": "a" });
    assert_eq!(open(&count), (200, json!({ "jsonrpc": "2.0", "result": 1, "id": "a" })));
    let older = json!({ "jsonrpc": "1.0", "method": "getconnectioncount", "params": [], "id": "curltest" });
    assert_eq!(open(&older), (200, json!({ "result": 1, "error": null, "id": "curltest" })));
    for (body, expected) in [
        ("", -32_700),
        ("{", -32_700),
        ("[]", -32_600),
        ("[1]", -32_600),
        ("{\"jsonrpc\":\"2.0\",\"id\":1}", -32_600),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nonsense\"}", -32_601),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"uptime\",\"params\":[1]}", -32_602),
    ] {
        let (status, answer) = http("POST", &url, None, body);
        let error = if answer.is_array() { &answer[0]["error"] } else { &answer["error"] };
        assert_eq!((status, error["code"].as_i64()), (200, Some(expected)), "{body}: {answer}");
    }

    // Nobody without the token changes anything, alone or in a batch, and a wrong one is none.
    for method in ["sendrawtransaction", "addnode", "disconnectnode", "setban", "clearbanned", "stop"] {
        let body = json!({ "jsonrpc": "2.0", "method": method, "params": [], "id": 1 });
        for token in [None, Some("nonsense")] {
            let (status, answer) = http("POST", &url, token, &body.to_string());
            assert_eq!(
                (status, answer["error"]["code"].as_i64()),
                (401, Some(-32_001)),
                "{method}: {answer}"
            );
        }
        let silent = json!({ "jsonrpc": "2.0", "method": method });
        assert_eq!(open(&silent).0, 401, "{method} as a notification");
    }
    let batch = json!([count, { "jsonrpc": "2.0", "method": "stop", "id": 2 }, { "jsonrpc": "2.0", "method": "uptime" }, 7]);
    let (status, answers) = open(&batch);
    let answers = answers.as_array().unwrap().clone();
    assert_eq!((status, answers.len()), (200, 3), "{answers:?}");
    let codes: Vec<_> = answers.iter().map(|answer| answer["error"]["code"].as_i64()).collect();
    assert_eq!(codes, [None, Some(-32_001), Some(-32_600)]);

    // Notifications have no answer, whatever becomes of them.
    let quiet = json!({ "jsonrpc": "2.0", "method": "nonsense" });
    assert_eq!(open(&quiet), (204, "".into()));
    assert_eq!(open(&json!([quiet, quiet])), (204, "".into()));

    // Batches and bodies are bounded.
    let many = Value::Array(vec![count.clone(); 51]);
    assert_eq!(open(&many).1["error"]["code"], -32_600);
    let answers = open(&Value::Array(vec![count; 50])).1;
    assert_eq!(answers.as_array().unwrap().len(), 50);
    let long = json!({ "jsonrpc": "2.0", "method": "x".repeat(300_000), "id": 1 });
    let (status, answer) = open(&long);
    assert!(status == 413 && answer["error"]["code"] == "body_too_large", "{status} {answer}");

    // As Bitcoin's own client sends its cookie.
    let token = std::fs::read_to_string(network.path(1).join(".cookie")).unwrap();
    let basic = std::process::Command::new("curl")
        .args(["-s", "-u", &format!("__cookie__:{token}"), "-d"])
        .args([json!({ "jsonrpc": "2.0", "method": "clearbanned", "id": 1 }).to_string(), url.clone()])
        .output();
    match basic {
        Ok(output) => {
            let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(answer, json!({ "jsonrpc": "2.0", "result": null, "id": 1 }));
        }
        Err(error) => println!("SKIPPED: curl: {error}"),
    }
    assert_eq!(result(&network, "stop", &json!([])), "timed stopping");
    assert_eq!(network.end(1), 0);
}
