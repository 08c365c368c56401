//! What criterion measured, in the run before this one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Result, beside};

/// Median times in nanoseconds, by input and case.
pub(crate) type Times = BTreeMap<(String, String), f64>;

/// Reads the estimates that `cargo bench` left.
pub(crate) fn read() -> Result<Times> {
    let program = beside("count")?;
    let target = program.ancestors().nth(2).map(PathBuf::from).unwrap_or_default();
    let dir = target.join("criterion");
    let mut times = Times::new();
    for group in entries(&dir)? {
        for case in entries(&group)? {
            let file = case.join("new/estimates.json");
            let Ok(text) = fs::read_to_string(&file) else { continue };
            let value: Value =
                serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
            if let Some(time) = value["median"]["point_estimate"].as_f64() {
                times.insert((name(&group), name(&case)), time);
            }
        }
    }
    Ok(times)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let read =
        fs::read_dir(dir).map_err(|error| format!("{}: {error}: run `cargo bench` first", dir.display()))?;
    Ok(read.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
