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
