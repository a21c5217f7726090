//! Two cases of `tests/hosts/run`, so that the script keeps working: a router that hides addresses, and a long line.

use std::path::Path;
use std::process::Command;

#[test]
fn dir_03b_two_behind_one_address_and_a_long_line() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/hosts/run");
    let begun = Command::new("python3")
        .arg(script)
        .args(["--timed", env!("CARGO_BIN_EXE_timed"), "behind_one_address", "a_long_line"])
        .output();
    let Ok(done) = begun else {
        println!("SKIPPED: the script needs python3");
        return;
    };
    let (said, wrong) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    println!("{said}");
    assert!(done.status.success(), "{said}{wrong}");
}
