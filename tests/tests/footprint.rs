//! What the crates take with them. Growth is a decision: made here, or in the table of `ARCHITECTURE.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::process::Command;

use serde_json::{Value, json};

/// What `cargo` says at the root of the workspace, from what is locked and there already.
#[track_caller]
fn cargo(words: &[&str]) -> String {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(words).args(["--locked", "--offline"]);
    let output = command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).output().unwrap();
    assert!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Asserts that `package`, without features of its own choosing, takes the crates of `list` with it and no other.
#[track_caller]
fn assert_takes(package: &str, list: &[&str]) {
    let tree = ["tree", "--edges", "normal,build", "--target", "all", "--prefix", "depth"];
    let tree = cargo(&[&tree[..], &["--format", " {p}", "--package", package]].concat());
    // How each crate came in: the first way, from `package` on.
    let mut ways = BTreeMap::new();
    let mut way = Vec::new();
    for line in tree.lines() {
        let mut words = line.split_whitespace();
        way.truncate(words.next().unwrap().parse().unwrap());
        way.push(words.next().unwrap());
        ways.entry(way[way.len() - 1]).or_insert_with(|| way.join(" -> "));
    }
    assert!(ways.remove(package).is_some(), "{tree}");
    let added: Vec<_> = ways.iter().filter(|(name, _)| !list.contains(name)).map(|(_, way)| way).collect();
    assert!(
        added.is_empty(),
        "{package} takes crates with it that are not on its list: {added:#?}\n\
         put the one in the middle behind a feature, or take it without the feature that asks for the last; \
         if every user of {package} should build it, add it to the list"
    );
    let gone: Vec<_> = list.iter().filter(|name| !ways.contains_key(**name)).collect();
    assert!(gone.is_empty(), "{package} does not take {gone:?} any more: strike it from the list");
}

#[test]
fn the_policy_takes_ipnet_only() {
    assert_takes("proxyfix-policy", &["ipnet"]);
}

#[test]
fn the_layers_take_http_tracing_and_the_traits_of_tower() {
    let ours = ["proxyfix-policy", "ipnet"];
    let http = ["http", "bytes", "itoa"];
    let tower = ["tower-layer", "tower-service"];
    let tracing = ["tracing", "tracing-core", "once_cell", "pin-project-lite"];
    assert_takes("proxyfix", &[&ours[..], &http, &tower, &tracing].concat());
}

/// What a crate depends on: always, and with a feature.
type Dependencies = (BTreeSet<String>, BTreeSet<String>);

/// The table of the crates in `ARCHITECTURE.md`.
fn table() -> BTreeMap<String, Dependencies> {
    let text = include_str!("../../ARCHITECTURE.md");
    let rows = text.lines().skip_while(|line| *line != "| crate | one line | depends on | with a feature |");
    let rows = rows.skip(2).take_while(|line| line.starts_with('|'));
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(names).collect();
        (cells[1].first().unwrap().clone(), (cells[3].clone(), cells[4].clone()))
    })
    .collect()
}

#[test]
fn the_crates_depend_on_what_the_table_says() {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1"])).unwrap();
    let mut table = table();
    let published = metadata["packages"].as_array().unwrap().iter().filter(|it| it["publish"] != json!([]));
    for package in published {
        let name = package["name"].as_str().unwrap();
        let (always, with_a_feature) =
            table.remove(name).unwrap_or_else(|| panic!("{name} has no row in the table of ARCHITECTURE.md"));
        let all = package["dependencies"].as_array().unwrap().iter().filter(|it| it["kind"] != "dev");
        let (optional, needed): (Vec<_>, Vec<_>) = all.partition(|it| it["optional"] == true);
        for (column, listed, taken) in
            [("depends on", always, needed), ("with a feature", with_a_feature, optional)]
        {
            let taken: BTreeSet<_> = taken.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect();
            let added: Vec<_> = taken.difference(&listed).collect();
            let gone: Vec<_> = listed.difference(&taken).collect();
            assert!(
                added.is_empty() && gone.is_empty(),
                "the manifest of {name} and the column \"{column}\" of the table in ARCHITECTURE.md differ: the \
                 manifest alone has {added:?}, the table alone {gone:?}; do without, or write it into the table"
            );
        }
    }
    assert!(table.is_empty(), "rows without a crate: {table:?}");
}
