//! No encoding changes without a word to those who run nodes: each file of vectors has its digest in the newest
//! section **Wire** of CHANGELOG.md.

use std::path::Path;

use sha2::{Digest, Sha256};

/// What the section says of a file.
fn line(name: &str, content: &[u8]) -> String {
    let digest: String = Sha256::digest(content).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("`{name}` {digest}")
}

/// The newest section **Wire**.
fn wire(changelog: &str) -> &str {
    let section = changelog.split_once("### Wire\n").map_or("", |(_, rest)| rest);
    section.split("\n### ").next().unwrap_or_default().split("\n## ").next().unwrap_or_default()
}

#[test]
fn each_change_of_a_vector_is_in_the_changelog() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let changelog = std::fs::read_to_string(package.join("../CHANGELOG.md")).unwrap();
    let wire = wire(&changelog);
    let mut names = Vec::new();
    let mut missing = Vec::new();
    for entry in std::fs::read_dir(package.join("vectors")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let line = line(&name, &std::fs::read(&path).unwrap());
        if !wire.contains(&line) {
            missing.push(line);
        }
        names.push(name);
    }
    missing.sort();
    assert!(
        missing.is_empty(),
        "vectors have changed: say in the section Wire of CHANGELOG.md what an older node sees of it, and put there\n{}",
        missing.join("\n")
    );
    for told in wire.split('`').filter(|word| word.ends_with(".toml")) {
        assert!(names.iter().any(|name| name == told), "the section Wire names {told}, which is not there");
    }
}

#[test]
fn only_the_newest_section_counts_and_every_byte_does() {
    let text = "## [2]\n\n### Wire\n\n- new\n\n### Added\n\n- other\n\n## [1]\n\n### Wire\n\n- old\n";
    assert_eq!(wire(text), "\n- new\n");
    assert_ne!(line("a.toml", b"1"), line("a.toml", b"2"));
}
