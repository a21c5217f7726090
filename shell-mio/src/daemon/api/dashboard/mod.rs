//! `GET /`: a page that shows the network as this node sees it, for a browser that an operator leaves open.
//!
//! | file | mechanism |
//! |---|---|
//! | `page.html`, `style.css` | what stands still |
//! | `elements.js` | elements and words; what comes from the network becomes text, never markup |
//! | `node.js` | questions, the token, the stream of `/events` |
//! | `model.js` | what the answers amount to: nodes, pairs, problems |
//! | `network.js`, `blocks.js`, `tables.js`, `log.js`, `detail.js` | one part of the page each |
//! | `main.js` | asks, listens, draws |
//!
//! Everything is within the one answer, and the browser is told to run and to load nothing else: the policy names the
//! digests of these very scripts, and forbids to turn strings into markup. The page itself holds nothing that is
//! not public, so it needs no token; what it asks for then does, wherever the gate says so.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

const FRAME: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
/// In the order in which they run.
const SCRIPTS: [&str; 9] = [
    include_str!("elements.js"),
    include_str!("node.js"),
    include_str!("model.js"),
    include_str!("network.js"),
    include_str!("blocks.js"),
    include_str!("tables.js"),
    include_str!("log.js"),
    include_str!("detail.js"),
    include_str!("main.js"),
];

static PAGE: LazyLock<Page> = LazyLock::new(Page::assemble);

struct Page {
    body: String,
    policy: String,
}

impl Page {
    fn assemble() -> Self {
        let style = format!("<style>{STYLE}</style>");
        let scripts = SCRIPTS.map(|script| format!("<script>{script}</script>")).concat();
        let body = FRAME.replacen("<!-- style -->", &style, 1).replacen("<!-- scripts -->", &scripts, 1);
        let policy = [
            "default-src 'none'".to_owned(),
            format!("script-src {}", SCRIPTS.map(source).join(" ")),
            format!("style-src {}", source(STYLE)),
            "connect-src 'self'".to_owned(),
            "img-src data:".to_owned(),
            "base-uri 'none'".to_owned(),
            "form-action 'none'".to_owned(),
            "frame-ancestors 'none'".to_owned(),
            "require-trusted-types-for 'script'".to_owned(),
            "trusted-types 'none'".to_owned(),
        ];
        Self { body, policy: policy.join("; ") }
    }
}

/// An inline source as a policy names it.
fn source(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
}

/// `GET /`.
pub(super) async fn page() -> Response {
    let page = &*PAGE;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, page.policy.as_str()),
        // A node that was upgraded has another page.
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, page.body.as_str()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts between an opening and a closing tag.
    fn between<'a>(text: &'a str, open: &str, close: &str) -> Vec<&'a str> {
        text.split(open).skip(1).map(|rest| rest.split(close).next().unwrap_or(rest)).collect()
    }

    #[test]
    fn the_policy_names_exactly_what_the_page_holds() {
        let page = Page::assemble();
        let scripts = between(&page.body, "<script>", "</script>");
        assert_eq!(scripts, SCRIPTS);
        assert_eq!(between(&page.body, "<style>", "</style>"), [STYLE]);
        for script in scripts {
            assert!(page.policy.contains(&source(script)));
        }
        assert_eq!(page.policy.matches("'sha256-").count(), SCRIPTS.len() + 1);
        assert!(!page.policy.contains("unsafe") && !page.policy.contains('*'), "{}", page.policy);
    }

    #[test]
    fn nothing_comes_from_outside() {
        let body = Page::assemble().body.replace("http://www.w3.org/2000/svg", "");
        for trace in
            ["http:", "https:", "//cdn", " src=", "@import", "url(", "import(", "importScripts", "WebSocket"]
        {
            assert!(!body.contains(trace), "{trace}");
        }
        assert_eq!(between(&body, "<link ", ">"), [r#"rel="icon" id="icon" href="data:,""#]);
    }

    /// The policy's trusted types say the same to browsers that know them.
    #[test]
    fn no_string_becomes_markup_or_code() {
        for sink in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "setHTML",
            "document.write",
            "DOMParser",
            "srcdoc",
            "createContextualFragment",
            "eval(",
            "Function(",
            "javascript:",
        ] {
            assert!(SCRIPTS.iter().all(|script| !script.contains(sink)), "{sink}");
        }
        for attribute in [" onclick=", " onload=", " onerror=", " style="] {
            assert!(!FRAME.contains(attribute), "{attribute}");
        }
    }

    #[test]
    fn every_element_that_a_script_asks_for_is_there() {
        for script in SCRIPTS {
            for id in between(script, "byId('", "')") {
                assert!(FRAME.contains(&format!("id=\"{id}\"")), "{id}");
            }
        }
    }
}
