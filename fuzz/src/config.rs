//! The texts of `config.toml` and `genesis.toml`: whatever is in them, the answer is "taken" or a list of what is
//! wrong and where, one line each, of which none can do anything to a terminal or a log.

use timed_mio::daemon::{config_problems, genesis_problems};

/// Bytes of one text.
const LONGEST: usize = 16 * 1024;

/// One text, read as either file.
///
/// # Panics
/// If a message is empty, not one line, or names a place that the text does not have.
pub fn body(input: &[u8]) {
    let text = String::from_utf8_lossy(input.get(..LONGEST).unwrap_or(input));
    for (file, check) in
        [("config.toml", config_problems as fn(&str) -> Vec<String>), ("genesis.toml", genesis_problems)]
    {
        let problems = check(&text);
        assert_eq!(problems, check(&text), "the same text is judged otherwise");
        for problem in &problems {
            let rest = problem.strip_prefix(file).unwrap_or_else(|| panic!("names no file: {problem:?}"));
            assert!(rest.len() > 4, "says nothing: {problem:?}");
            assert!(!problem.chars().any(char::is_control), "more than a line of text: {problem:?}");
            if let Some((line, column)) = place(rest) {
                let lines = text.split('\n').count();
                assert!((1..=lines).contains(&line), "{problem:?} of {lines} lines");
                let length = text.split('\n').nth(line - 1).map_or(0, |line| line.chars().count());
                assert!((1..=length + 2).contains(&column), "{problem:?}, where the line has {length}");
            }
        }
    }
}

/// The line and column that a message begins with, where it does.
fn place(rest: &str) -> Option<(usize, usize)> {
    let mut fields = rest.strip_prefix(':')?.splitn(3, ':');
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Sound files, and files with what people get wrong.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    const GOOD: &str = "[node]\nname = \"one\"\nnetwork = \"testnet\"\n\n[network]\nlisten = \"0.0.0.0:24100\"\n\
        local_ip = \"192.0.2.1\"\npeers = [\"192.0.2.2:24100\", \"seed.example:24100\"]\nmax_peers = 40\n\
        passive_wait = \"5s\"\n\n[masternode]\nenabled = \"auto\"\nheartbeat_interval = \"10s\"\n\n[block]\n\
        max_bytes = 100000\nmin_peers = \"auto\"\n\n[api]\nenabled = true\nlisten = \"127.0.0.1:24101\"\n\n\
        [logging]\nlevel = \"info\"\nformat = \"text\"\n";
    const GENESIS: &str = "network = \"testnet\"\ngenesis_time = \"2026-01-01T00:00:00Z\"\nblock_interval = \"10s\"\n\n\
        [[masternode]]\nid = \"1111111111111111111111111111111111111111111111111111111111111111\"\n\
        addr = \"192.0.2.1:24100\"\n";
    let wrong = [
        "[netwrok]\n",
        "[network]\nlisten = 7\nport = 99999\n",
        "a = \"\\u001b[2J\"\n",
        "[node\n",
        "[api]\nhosts = [1]\n",
    ];
    [GOOD, GENESIS].into_iter().chain(wrong).map(|text| text.as_bytes().to_vec()).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn config_holds_on_seeds_and_noise() {
        crate::smoke::run("config", &super::seeds(), 2_000, super::body);
    }
}
