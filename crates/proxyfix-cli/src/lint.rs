//! What configurations permit and probably should not, for people and for CI.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::process::ExitCode;

use proxyfix::lint::Severity;
use proxyfix::{Config, Error, Finding};
use serde::Serialize;

use crate::stack::PREFIX;

/// Flags of `lint`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configurations; - is standard input.
    #[arg(value_name = "FILE", required_unless_present = "env")]
    files: Vec<String>,
    /// How they are written, where the name does not end in .toml or .json.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Reads the variables whose names begin with PROXYFIX_, too.
    #[arg(long)]
    env: bool,
    /// Writes the findings as a JSON array.
    #[arg(long)]
    json: bool,
    /// Passes over findings of this code; repeatable.
    #[arg(long, value_name = "CODE", value_parser = permitted)]
    allow: Vec<String>,
    /// Counts findings of this code, though they are notes; repeatable.
    #[arg(long, value_name = "CODE", value_parser = code)]
    deny: Vec<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Toml,
    Json,
}

fn code(text: &str) -> Result<String, String> {
    one_of(&Finding::codes().collect::<Vec<_>>(), text)
}

/// A code that can be passed over: what does not build is never meant.
fn permitted(text: &str) -> Result<String, String> {
    one_of(&Finding::codes().filter(|code| *code != "does-not-build").collect::<Vec<_>>(), text)
}

fn one_of(codes: &[&str], text: &str) -> Result<String, String> {
    if codes.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("no finding has this code; there are {}", codes.join(", ")))
}

/// What is written of one finding.
#[derive(Serialize)]
struct FindingOut<'a> {
    file: &'a str,
    severity: &'static str,
    code: &'static str,
    place: &'a str,
    message: &'a str,
}

/// Fails with 1 where there is a finding that is more than a note, or denied. The error is that of a file that
/// cannot be read.
pub(crate) fn run(args: &Args) -> Result<ExitCode, String> {
    let mut found = Vec::new();
    for name in &args.files {
        found.push((name.as_str(), findings(read(name, args.format)?)));
    }
    if args.env {
        let file = format!("{PREFIX}_CONFIG");
        if let Ok(path) = std::env::var(&file) {
            fs::File::open(&path).map_err(|error| unreadable(&format!("{file}: {path}"), &error))?;
        }
        found.push(("environment", findings(Config::from_env(PREFIX))));
    }
    for (_, findings) in &mut found {
        findings.retain(|it| !args.allow.iter().any(|code| code == it.code));
    }
    if args.json {
        let findings = found.iter().flat_map(|(file, findings)| {
            findings.iter().map(|it| FindingOut {
                file,
                severity: it.severity.as_str(),
                code: it.code,
                place: &it.place,
                message: &it.message,
            })
        });
        let findings = serde_json::to_string_pretty(&findings.collect::<Vec<_>>());
        anstream::println!("{}", findings.map_err(|error| error.to_string())?);
    } else {
        for (file, findings) in &found {
            if findings.is_empty() {
                anstream::println!("{file}: nothing found");
            }
            for finding in findings {
                anstream::println!("{file}: {}", coloured(finding));
            }
        }
    }
    let counts = |it: &Finding| it.severity > Severity::Note || args.deny.iter().any(|code| code == it.code);
    let failed = found.iter().flat_map(|(_, findings)| findings).any(counts);
    Ok(ExitCode::from(u8::from(failed)))
}

fn findings(config: Result<Config, Error>) -> Vec<Finding> {
    match config {
        Ok(config) => config.lint(),
        Err(error) => vec![Finding::from(&error)],
    }
}

/// The configuration, or why its text is none; the outer error is that of a file that cannot be read.
fn read(name: &str, format: Option<Format>) -> Result<Result<Config, Error>, String> {
    let mut text = String::new();
    let read = match name {
        "-" => io::stdin().read_to_string(&mut text),
        path => fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text)),
    };
    read.map_err(|error| unreadable(name, &error))?;
    let extension = Path::new(name).extension().and_then(|it| it.to_str()).map(str::to_ascii_lowercase);
    let format = format.or(match extension.as_deref() {
        Some("toml") => Some(Format::Toml),
        Some("json") => Some(Format::Json),
        _ if name == "-" && text.trim_start().starts_with('{') => Some(Format::Json),
        _ if name == "-" => Some(Format::Toml),
        _ => None,
    });
    let config = match format {
        Some(Format::Toml) => Config::from_toml(&text),
        Some(Format::Json) => Config::from_json(&text),
        None => return Err(format!("{name}: say how it is written with --format toml or --format json")),
    };
    Ok(config.map(|config| if name == "-" { config } else { config.of_file(name) }))
}

fn unreadable(name: &str, error: &io::Error) -> String {
    format!("{name}: the file cannot be read: {error}")
}

fn coloured(finding: &Finding) -> String {
    let colour = match finding.severity {
        Severity::Note => anstyle::AnsiColor::Cyan,
        Severity::Warning => anstyle::AnsiColor::Yellow,
        Severity::Error => anstyle::AnsiColor::Red,
    };
    let (style, reset) = (colour.on_default(), anstyle::Reset);
    let place = if finding.place.is_empty() { String::new() } else { format!("{}: ", finding.place) };
    format!("{style}{}{reset} [{}] {place}{}", finding.severity, finding.code, finding.message)
}
