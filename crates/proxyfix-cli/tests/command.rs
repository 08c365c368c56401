//! The command as a user runs it: flags in, text out.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

fn proxyfix(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_proxyfix")).args(args).output().unwrap()
}

#[track_caller]
fn stdout(args: &[&str]) -> String {
    let output = proxyfix(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// `explain --jsonl`, waiting for cases.
fn streaming() -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proxyfix"));
    command.args(["explain", "--jsonl"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Sends `lines` to `explain --jsonl`; the answers.
#[track_caller]
fn decisions(lines: &str) -> Vec<Value> {
    let mut child = streaming();
    let mut stdin = child.stdin.take().unwrap();
    let lines = lines.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[track_caller]
fn decision(case: &Value) -> Value {
    decisions(&format!("{case}\n")).remove(0)
}

#[test]
fn the_documented_case_has_the_documented_answer() {
    let readme = include_str!("../README.md");
    let mut blocks = readme.split("```json\n").skip(1).map(|block| block.split("```").next().unwrap());
    let case: Value = serde_json::from_str(blocks.next().unwrap()).unwrap();
    let expected: Value = serde_json::from_str(blocks.next().unwrap()).unwrap();
    assert_eq!(decision(&case), expected);
}

#[test]
fn every_key_but_the_request_is_optional() {
    let answer = decision(&json!({"request": {}}));
    assert_eq!(answer["id"], Value::Null);
    assert_eq!(answer["origin"]["ending"], "peer-unknown");
    assert_eq!(answer["request"]["target"], "/");
}

#[test]
fn a_line_that_is_no_case_is_answered_and_the_stream_goes_on() {
    let good = json!({"id": "good", "request": {}});
    let endless = "x".repeat(3 << 20);
    let lines = [
        "garbage",
        r#"{"id": 2}"#,
        r#"{"id": 3, "policy": {"trust": "10.0.0.1/8"}, "request": {}}"#,
        r#"{"id": 4, "policy": {"turst": ""}, "request": {}}"#,
        r#"{"id": 5, "fixes": ["nope"], "request": {}}"#,
        r#"{"id": 6, "peer": "nobody", "request": {}}"#,
        r#"{"id": 7, "request": {"headers": [["X-A", "a\nb"]]}}"#,
        r#"{"id": 8, "request": {"headers": [["X-A", "\u20ac"]]}}"#,
        r#"{"id": 9, "request": {"target": ""}}"#,
        r#"{"id": 10, "mount": "app", "request": {}}"#,
        r#"{"id": 11, "fixes": [{"script-name-stripper": "//evil.example"}], "request": {}}"#,
        "",
        endless.as_str(),
    ];
    for line in lines {
        let answers = decisions(&format!("{line}\n{good}"));
        assert_eq!(answers.len(), 2, "{}", &line[..line.len().min(80)]);
        assert!(answers[0]["error"].as_str().is_some_and(|error| !error.is_empty()), "{line}");
        assert_eq!(answers[1]["id"], "good");
        if let Ok(case) = serde_json::from_str::<Value>(line) {
            assert_eq!(answers[0]["id"], case["id"]);
        }
    }
}

#[test]
fn answers_come_in_order_and_line_by_line() {
    let cases: Vec<String> = (0..5000).map(|id| json!({"id": id, "request": {}}).to_string()).collect();
    let cases = cases.join("\n");
    let ids: Vec<u64> = decisions(&cases).iter().map(|answer| answer["id"].as_u64().unwrap()).collect();
    assert!(ids.iter().copied().eq(0..5000));

    // Whoever asks one at a time is answered one at a time.
    let mut child = streaming();
    let (mut stdin, mut answers) =
        (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    for id in 0..3 {
        writeln!(stdin, "{{\"id\":{id},\"request\":{{}}}}").unwrap();
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("{{\"id\":{id},")), "{answer}");
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn header_values_are_octets() {
    let answer = decision(&json!({"request": {"headers": [["X-A", "caf\u{e9} \u{ff}"]]}}));
    assert_eq!(answer["request"]["headers"], json!([["x-a", "caf\u{e9} \u{ff}"]]));
}

#[test]
fn headers_keep_their_order() {
    let headers = json!([["B", "1"], ["X-Forwarded-For", "1.1.1.1"], ["Host", "a"], ["A", "2"], ["b", "3"]]);
    let answer = decision(&json!({"request": {"headers": headers}}));
    assert_eq!(answer["request"]["headers"], json!([["b", "1"], ["b", "3"], ["host", "a"], ["a", "2"]]));
}

#[test]
fn an_incomplete_origin_is_rejected_where_the_policy_says_so() {
    let case = |on_incomplete: &str, chain: &str| {
        decision(&json!({
            "policy": {"trust": "10.0.0.0/8", "on_incomplete": on_incomplete},
            "peer": "10.0.0.2",
            "request": {"headers": [["X-Forwarded-For", chain]]},
        }))["status"]
            .clone()
    };
    assert_eq!(case("reject", "garbage"), 400);
    assert_eq!(case("proceed", "garbage"), Value::Null);
    assert_eq!(case("reject", "203.0.113.9"), Value::Null);
    assert_eq!(case("reject", ""), Value::Null);
}

#[test]
fn any_peer_overrides_trust_and_counts_switch_fields_on_and_off() {
    let answer = decision(&json!({
        "policy": {"trust": "not read", "any_peer": true, "counts": {"for": 2, "host": 1, "proto": 0}},
        "peer": "192.0.2.1",
        "request": {"headers": [
            ["X-Forwarded-For", "198.51.100.7, 203.0.113.9"],
            ["X-Forwarded-Proto", "https"],
            ["X-Forwarded-Host", "a.example, b.example"],
        ]},
    }));
    assert_eq!(answer["origin"]["client"], "198.51.100.7");
    assert_eq!(answer["origin"]["ending"], "hop-limit");
    assert_eq!(
        (&answer["origin"]["host"], &answer["origin"]["scheme"]),
        (&json!("b.example"), &json!("http"))
    );
}

#[test]
fn an_empty_target_beside_a_mount_is_an_absent_path_info() {
    let answer = |target: &str, fixes: Value| {
        decision(&json!({"fixes": fixes, "mount": "/foo", "request": {"target": target}}))
    };
    let root = answer("", json!([{"lighttpd-cgi-root-fix": ""}]));
    assert_eq!((&root["request"]["target"], &root["mount"]), (&json!("/foo"), &json!("")));
    let query = answer("?x=1", json!([{"lighttpd-cgi-root-fix": ""}]));
    assert_eq!(query["request"]["target"], "/foo?x=1");
    let slash = answer("/", json!([{"lighttpd-cgi-root-fix": ""}]));
    assert_eq!(slash["request"]["target"], "/foo/");
}

#[test]
fn explain_tells_the_walk_and_the_reason() {
    let text = stdout(&[
        "explain",
        "--trust",
        "10.0.0.0/8",
        "--peer",
        "10.0.0.2",
        "-H",
        "X-Forwarded-For: 198.51.100.7, 203.0.113.9, 10.0.0.7",
        "https://good.example/x",
    ]);
    for part in ["10.0.0.7", "trusted", "203.0.113.9", "is trusted and vouches for it", "good.example/x"] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "no colour where it is piped");
    let json: Value = serde_json::from_str(&stdout(&["explain", "--peer", "unix", "--json", "/x"])).unwrap();
    assert_eq!(json["origin"]["ending"], "peer-untrusted");
}

#[test]
fn bad_flags_are_refused_with_a_reason() {
    for (args, reason) in [
        (&["explain", "--peer", "10.0.0.2", "--trust", "10.0.0.0/33"][..], "exceeds 32 bits"),
        (&["explain", "--peer", "nobody"], "is not a peer"),
        (&["explain"], "--peer"),
        (&["explain", "--peer", "unix", "--count", "for"], "FIELD=N"),
        (&["explain", "--peer", "unix", "--fix", "nope"], "expected \"proxy-fix\""),
        (&["whoami", "--listen", "nowhere"], "cannot listen on nowhere"),
    ] {
        let output = proxyfix(args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(reason), "{args:?}: {error}");
    }
}

#[test]
fn the_demo_plays_its_requests_and_says_why() {
    let text = stdout(&["demo"]);
    for part in ["10. ", "203.0.113.9 is the client", "the client is unknown", "(removed)", "/app/users"] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "no colour where it is piped");
}

#[test]
fn the_readme_of_the_workspace_shows_what_the_demo_prints() {
    // Not there where the crate stands alone, as in the registry.
    let Ok(readme) = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")) else {
        return;
    };
    let shown =
        readme.split("```text\n").find(|block| block.starts_with("3. ")).expect("the README shows scene 3");
    let shown = shown.split("```").next().unwrap();
    let demo = stdout(&["demo"]);
    for scene in shown.trim().split("\n\n") {
        // Where 127.0.0.66 is no loopback address, the stranger does not play.
        assert!(
            demo.contains(scene) || (scene.contains("127.0.0.66") && demo.contains("not played here")),
            "{scene}"
        );
    }
}

/// Ended by its id when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn whoami_answers_what_it_sees() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_proxyfix"))
        .args(["whoami", "--listen", "127.0.0.1:0", "--trust", "127.0.0.1", "--on-incomplete", "reject"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let _running = Running(child);
    let address = line.trim().strip_prefix("listening on http://").unwrap().trim_end_matches('/').to_owned();
    let ask = |target: &str, headers: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "GET {target} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{headers}\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let text = ask("/x", "X-Forwarded-For: 203.0.113.9\r\n");
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("203.0.113.9 is the client"), "{text}");
    for json in [ask("/x?format=json", ""), ask("/x", "Accept: text/html, application/json\r\n")] {
        let (_, body) = json.split_once("\r\n\r\n").unwrap();
        assert_eq!(serde_json::from_str::<Value>(body).unwrap()["origin"]["ending"], "header-absent");
    }
    assert!(ask("/x", "X-Forwarded-For: junk\r\n").starts_with("HTTP/1.1 400"));
}

/// Runs with only these variables; output, errors and the exit status.
fn run(args: &[&str], variables: &[(&str, &str)], input: &str) -> (String, String, i32) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proxyfix"));
    command.args(args).env_clear().envs(variables.iter().copied());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Who does not read its input may be gone.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

/// A directory with a file of this name.
fn file(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    (directory, path.to_str().unwrap().to_owned())
}

#[test]
fn lint_tells_each_finding_with_its_place_and_fails_above_notes() {
    for (name, text, status, part) in [
        ("a.toml", "trust = \"loopback\"", 0, ": nothing found"),
        ("a.toml", "trust = \"\"", 0, ": note [no-trust] trust: "),
        ("a.toml", "trust = \"10.0.0.0/8\"", 1, ": warning [wide-trust] trust: the whole private network"),
        (
            "a.json",
            "{\"trust\": \"10.0.0.1/8\"}",
            1,
            ": error [does-not-build] trust: entry 1 of the trusted set",
        ),
        (
            "a.toml",
            "\n[guard]\nalow_hosts = []",
            1,
            ": error [does-not-build] line 3: guard.alow_hosts: unknown",
        ),
        ("a.json", "{", 1, ": error [does-not-build] EOF"),
    ] {
        let (_directory, path) = file(name, text);
        let (output, _, code) = run(&["lint", &path], &[], "");
        assert_eq!(code, status, "{output}");
        assert!(output.starts_with(&format!("{path}{part}")), "{output}");
        assert!(!output.contains('\u{1b}'), "no colour where it is piped");
    }
}

#[test]
fn lint_reads_standard_input_and_the_environment() {
    let wide = "trust = \"10.0.0.0/8\"";
    assert_eq!(run(&["lint", "-"], &[], wide).2, 1);
    assert_eq!(run(&["lint", "-"], &[], "{\"trust\": \"unix\"}").2, 0);
    assert_eq!(run(&["lint", "-", "--format", "json"], &[], wide).2, 1);
    assert_eq!(run(&["lint", "--allow", "wide-trust", "-"], &[], wide).2, 0);
    assert_eq!(run(&["lint", "--deny", "no-trust", "-"], &[], "").2, 1);

    let (output, _, code) = run(&["lint", "--env"], &[("PROXYFIX_TRUST", "10.0.0.0/8")], "");
    assert!(code == 1 && output.starts_with("environment: warning [wide-trust] trust: "), "{output}");
    let (output, ..) = run(&["lint", "--env"], &[("PROXYFIX_TURST", "")], "");
    assert!(output.contains("PROXYFIX_TURST: an unknown variable; did you mean PROXYFIX_TRUST?"), "{output}");
}

#[test]
fn the_documented_configuration_has_no_finding() {
    let readme = include_str!("../README.md");
    let block = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(run(&["lint", "-"], &[], block).0, "-: nothing found\n");
    let wide = readme.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    let (output, ..) = run(&["lint", "-"], &[], "trust = \"10.0.0.0/8\"");
    assert_eq!(output.replace("-: ", "proxyfix.toml: "), wide);
}

#[test]
fn lint_says_the_same_to_programs() {
    let (output, _, code) = run(&["lint", "--json", "-"], &[], "trust = \"10.0.0.0/8\"\nfields = [\"host\"]");
    assert_eq!(code, 1);
    let findings: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(findings[0]["code"], "wide-trust");
    assert_eq!(
        findings[1],
        json!({"file": "-", "severity": "warning", "code": "host-unrestricted", "place": "guard.allow_hosts",
               "message": findings[1]["message"]})
    );
}

#[test]
fn lint_fails_otherwise_where_it_cannot_read() {
    let (_directory, path) = file("proxies", "");
    for (args, reason) in [
        (&["lint", "/nowhere.toml"][..], "/nowhere.toml: the file cannot be read"),
        (&["lint", &path], "--format toml"),
        (&["lint"], "FILE"),
        (&["lint", "--allow", "nope", "-"], "no finding has this code"),
        (&["lint", "--allow", "does-not-build", "-"], "no finding has this code"),
    ] {
        let (_, error, code) = run(args, &[], "");
        assert!(code == 2 && error.contains(reason), "{args:?}: {error}");
    }
    let nowhere = [("PROXYFIX_CONFIG", "/nowhere.toml")];
    assert_eq!(run(&["lint", "--env"], &nowhere, "").2, 2);
}

#[test]
fn explain_reads_what_lint_reads() {
    let config = "trust = \"10.0.0.2\"\nfields = [\"for\", \"host\"]\n[guard]\nallow_hosts = [\"a.example\"]";
    let (_directory, path) = file("a.toml", config);
    let ask = |source: &[&str], variables: &[(&str, &str)], host: &str| {
        let host = format!("X-Forwarded-Host: {host}");
        let request = ["--peer", "10.0.0.2", "--json", "-H", "X-Forwarded-For: 203.0.113.9", "-H", &host];
        let (output, error, code) = run(&[&["explain"], source, &request].concat(), variables, "");
        assert_eq!(code, 0, "{error}");
        serde_json::from_str::<Value>(&output).unwrap()
    };
    let answer = ask(&["--config", &path], &[], "a.example");
    assert_eq!((&answer["origin"]["client"], &answer["status"]), (&json!("203.0.113.9"), &Value::Null));
    assert_eq!(ask(&["--config", &path], &[], "evil.example")["status"], 421);
    let variables = [("PROXYFIX_CONFIG", path.as_str()), ("PROXYFIX_TRUST", "unix")];
    assert_eq!(ask(&["--env"], &variables, "a.example")["origin"]["ending"], "peer-untrusted");
}

#[test]
fn a_configuration_takes_the_place_of_flags() {
    for (args, reason) in [
        (
            &["explain", "--peer", "unix", "--config", "/nowhere.toml"][..],
            "/nowhere.toml: the file cannot be read",
        ),
        (&["explain", "--peer", "unix", "--config", "a.toml", "--trust", "unix"], "cannot be used with"),
        (&["explain", "--peer", "unix", "--config", "a.toml", "--fix", "proxy-fix"], "cannot be used with"),
        (&["whoami", "--config", "a.toml", "--family", "forwarded"], "cannot be used with"),
        (&["explain", "--peer", "unix", "--env", "--any-peer"], "cannot be used with"),
        (
            &["explain", "--peer", "unix", "--fields", "fro"],
            "fields[0]: unknown variant `fro`, expected one of",
        ),
    ] {
        let (_, error, code) = run(args, &[], "");
        assert!(code != 0 && error.contains(reason), "{args:?}: {error}");
    }
}

#[test]
fn a_stream_names_no_files_and_no_variables() {
    for policy in [
        json!({"trust_file": "/etc/hostname"}),
        json!({"secret": {"header": "X-A", "env": ["HOME"]}}),
        json!({"shadow": {"trust_file": "/etc/hostname"}}),
    ] {
        let answer = decision(&json!({"policy": policy, "request": {}}));
        assert!(answer["error"].as_str().unwrap().contains("names no files"), "{answer}");
    }
    // The fixes of a case stand instead of those of its policy.
    let fixes = json!({"policy": {"fixes": []}, "fixes": ["proxy-fix"], "request": {"headers": [["Forwarded", "a"]]}});
    assert_eq!(decision(&fixes)["request"]["headers"], json!([]));
}
