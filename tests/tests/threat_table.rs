//! Holds the table of the threats, `THREATS.md`, to the code.

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

/// An entry of the catalogue, a source file, a test in it.
type Named = (u16, String, String);

/// The functions in the sources of the workspace: file and name, the file without the folders that all
/// have.
fn functions() -> BTreeSet<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut functions = BTreeSet::new();
    let mut folders = vec![root.join("crates"), root.join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let file = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                let file =
                    file.replace("crates/", "").replace("/src/", "/").replace("tests/tests/", "tests/");
                let text = fs::read_to_string(&path).unwrap();
                let names = text.lines().filter_map(|line| {
                    let line = line.trim_start();
                    let rest = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")?;
                    rest.split_once('(').map(|(name, _)| name.to_owned())
                });
                functions.extend(names.map(|name| (file.clone(), name)));
            }
        }
    }
    functions
}

/// The entries that a test is named for: 27 and 28 of `t27_t28_…`, none of `l1_…`.
fn numbers(test: &str) -> impl Iterator<Item = u16> {
    test.split('_').map_while(|word| word.strip_prefix('t')?.parse().ok())
}

/// The rows: which entries, and what stands beside them.
fn rows() -> Vec<(RangeInclusive<u16>, String)> {
    let table = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("THREATS.md")).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| T"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(" | ").collect();
        let [entries, _, tests] = cells[..] else { panic!("not three columns: {line}") };
        let number = |text: &str| text.trim_matches(['|', ' ', 'T']).parse::<u16>().unwrap();
        let (first, last) = entries.split_once(" to ").unwrap_or((entries, entries));
        (number(first)..=number(last), tests.trim_end_matches([' ', '|']).to_owned())
    };
    rows.map(row).collect()
}

/// The tests that a row names: `file: test, test; file: test`.
fn tests(cell: &str) -> impl Iterator<Item = (String, String)> {
    cell.split("; ").flat_map(|part| {
        let (file, tests) = part.split_once(": ").unwrap_or_else(|| panic!("no file: {part}"));
        tests.split(", ").map(|test| (file.to_owned(), test.trim_matches('`').to_owned()))
    })
}

#[test]
fn every_entry_has_one_row() {
    let entries: Vec<u16> = rows().into_iter().flat_map(|(entries, _)| entries).collect();
    assert_eq!(entries, (1..=199).collect::<Vec<u16>>());
}

#[test]
fn the_table_names_the_tests_that_are_there() {
    let functions = functions();
    let mut named = BTreeSet::new();
    for (entries, cell) in rows().into_iter().filter(|(_, cell)| !cell.starts_with("Not here: ")) {
        for (file, test) in tests(&cell) {
            assert!(functions.contains(&(file.clone(), test.clone())), "T{entries:?}: no {test} in {file}");
            if numbers(&test).next().is_some() {
                named.extend(entries.clone().map(|entry| (entry, file.clone(), test.clone())));
            }
        }
    }
    let there: BTreeSet<Named> = functions
        .iter()
        .flat_map(|(file, test)| numbers(test).map(|entry| (entry, file.clone(), test.clone())))
        .collect();
    let [unnamed, gone] =
        [there.difference(&named), named.difference(&there)].map(Iterator::collect::<Vec<_>>);
    assert!(unnamed.is_empty(), "not in the row of its entry: {unnamed:#?}");
    assert!(gone.is_empty(), "in the row of an entry that its name does not say: {gone:#?}");
}
