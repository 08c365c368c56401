//! Decisions as people read them.

use comfy_table::{ContentArrangement, Table, presets};
use http::HeaderName;
use http::request::Parts;
use proxyfix::{Field, Mount, Origin, Outcome, PROTECTED_HEADERS, Verdict};

/// Who reads a description.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Whoever stated the request.
    Author,
    /// Whoever sent it, through proxies that added to it.
    Anyone,
}

/// The whole story of one request, for people.
pub(crate) fn describe(
    before: &Parts,
    after: &Parts,
    origin: &Origin,
    status: Option<u16>,
    reader: Reader,
) -> String {
    let mut lines = vec![heading("The walk, from the peer leftward")];
    for (index, step) in origin.steps().enumerate() {
        let hop = if step.hop.is_unknown() { "?".to_owned() } else { step.hop.to_string() };
        lines.push(format!("  {}  {hop:<40} {}", index + 1, colour(step.verdict)));
    }
    lines.push(String::new());
    lines.push(heading("The origin"));
    let client = origin.client().map_or("unknown".to_owned(), |ip| ip.to_string());
    let complete = if origin.is_complete() { "" } else { " (not complete)" };
    lines.push(format!("  client         {client}{complete}"));
    lines.push(format!("  last verified  {}", origin.last_verified()));
    lines.push(format!("  ending         {}", origin.ending()));
    lines.push(format!("  url            {}", url(after, origin)));
    lines.extend(Field::ALL.into_iter().filter_map(|field| source(origin, field)));
    lines.push(format!("  {}{origin}.{}", anstyle::Style::new().bold(), anstyle::Reset));
    lines.push(String::new());
    if let Some(status) = status {
        lines.push(format!("The policy answers {status}; the application is not called."));
    } else {
        lines.push(heading("The request, before and after"));
        lines.push(table(&before_and_after(before, after, reader)));
    }
    lines.join("\n") + "\n"
}

/// What became of a field that the policy reads, and where its value stood.
fn source(origin: &Origin, field: Field) -> Option<String> {
    let place = origin.place(field).map(|place| {
        let header = place.written.header(field).unwrap_or("its own header");
        let line =
            if place.line > 1 { format!(", in line {} from the end", place.line) } else { String::new() };
        format!("value {} from the right of {header}{line}", place.position)
    });
    let place = place.unwrap_or_default();
    let became = match origin.outcome(field) {
        Outcome::Believed => place,
        Outcome::Absent => "no header says it".to_owned(),
        Outcome::Refused(refusal) if place.is_empty() => format!("not taken: {refusal}"),
        Outcome::Refused(refusal) => format!("not taken: {refusal} ({place})"),
        _ => return None,
    };
    Some(format!("  {:<14} {became}", field.as_str()))
}

/// The URL that the client asked for, as far as it is known.
pub(crate) fn url(parts: &Parts, origin: &Origin) -> String {
    let host = origin.host().map_or("(no host)", proxyfix::Host::as_str);
    let port = origin.port().map(|port| format!(":{port}")).unwrap_or_default();
    let mount = parts.extensions.get::<Mount>().cloned().unwrap_or_default();
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = plain(&format!("{}{query}", mount.join(parts.uri.path())));
    format!("{}://{host}{port}{path}", origin.scheme())
}

/// Text of a request, with everything but plain ASCII escaped.
fn plain(text: &str) -> String {
    text.as_bytes().escape_ascii().to_string()
}

fn before_and_after(before: &Parts, after: &Parts, reader: Reader) -> Vec<[String; 3]> {
    let target = |parts: &Parts| format!("{} {}", parts.method, plain(&parts.uri.to_string()));
    let mount = |parts: &Parts| parts.extensions.get::<Mount>().map_or("", Mount::script_name).to_owned();
    let mut rows = vec![["target".to_owned(), target(before), target(after)]];
    if before.extensions.get::<Mount>().is_some() || !mount(after).is_empty() {
        rows.push(["mount".to_owned(), mount(before), mount(after)]);
    }
    let value = |parts: &Parts, name: &HeaderName| {
        let values: Vec<String> =
            parts.headers.get_all(name).iter().map(|it| it.as_bytes().escape_ascii().to_string()).collect();
        if values.is_empty() { "–".to_owned() } else { values.join("\n") }
    };
    let new = after.headers.keys().filter(|name| !before.headers.contains_key(*name));
    for name in before.headers.keys().chain(new) {
        // What a proxy adds for the service alone may be a secret.
        let own = !PROTECTED_HEADERS.contains(&name.as_str()) && !after.headers.contains_key(name);
        let sent =
            if own && reader == Reader::Anyone { "(not shown)".to_owned() } else { value(before, name) };
        rows.push([name.to_string(), sent, value(after, name)]);
    }
    rows
}

fn heading(text: &str) -> String {
    format!("{}{text}{}", anstyle::Style::new().bold().underline(), anstyle::Reset)
}

fn colour(verdict: Verdict) -> String {
    let style = match verdict {
        Verdict::Trusted | Verdict::Counted => anstyle::AnsiColor::Cyan,
        Verdict::Client => anstyle::AnsiColor::Green,
        _ => anstyle::AnsiColor::Red,
    };
    format!("{}{verdict}{}", style.on_default(), anstyle::Reset)
}

/// What it is, as delivered, as the application sees it.
pub(crate) fn table(rows: &[[String; 3]]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["", "as delivered", "as the application sees it"]);
    table.add_rows(rows);
    table.lines().map(|line| format!("   {}", line.trim_end())).collect::<Vec<_>>().join("\n")
}
