//! Why one request is decided as it is.

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Uri};
use proxyfix::{Mount, Origin, Peer, Step, Verdict};

use crate::decision::{Decision, origin_of};
use crate::stack::{PolicyArgs, Stack};

/// Flags of `explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Reads one case a line from standard input and writes one decision a line; no other flag applies.
    #[arg(long, exclusive = true)]
    pub(crate) jsonl: bool,
    #[command(flatten)]
    policy: PolicyArgs,
    /// Who is connected: an address with or without a port, or unix.
    #[arg(long, value_name = "PEER", required_unless_present = "jsonl")]
    peer: Option<Peer>,
    /// A header of the request; repeatable.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The method of the request.
    #[arg(short = 'X', long, default_value = "GET")]
    method: Method,
    /// The SCRIPT_NAME that a gateway would have said.
    #[arg(long, value_name = "PREFIX")]
    mount: Option<String>,
    /// Writes the decision as JSON.
    #[arg(long)]
    json: bool,
    /// The request target, or a URL whose host becomes the Host header.
    #[arg(value_name = "URL", default_value = "/")]
    url: Uri,
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("expected NAME: VALUE")?;
    let name = name.trim().parse().map_err(|_| format!("{name:?} is not a header name"))?;
    let value = value.trim_matches([' ', '\t']);
    let value =
        HeaderValue::from_bytes(value.as_bytes()).map_err(|_| "the value holds control characters")?;
    Ok((name, value))
}

pub(crate) fn run(args: &Args) -> Result<(), String> {
    let stack = args.policy.stack()?;
    let mut parts = head(args)?;
    let order: Vec<HeaderName> = args.headers.iter().map(|(name, _)| name.clone()).collect();
    let before = parts.clone();
    let mut steps = Vec::new();
    stack.explain(&mut parts, &mut steps);
    let origin = origin_of(&parts);
    let status = stack.rejects(&origin);
    if args.json {
        let mut decision = Decision::new(&parts, &origin, status, &steps, &order);
        decision.reason = Some(origin.to_string());
        let text = serde_json::to_string_pretty(&decision).map_err(|error| error.to_string())?;
        anstream::println!("{text}");
    } else {
        anstream::print!("{}", describe(&before, &parts, &origin, &steps, status));
    }
    Ok(())
}

fn head(args: &Args) -> Result<Parts, String> {
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = args.method.clone();
    parts.uri = args.url.clone();
    for (name, value) in &args.headers {
        parts.headers.append(name, value.clone());
    }
    // A client that asks for a URL sends its host in Host and its path as the target.
    if let Some(authority) = args.url.authority().filter(|_| args.url.scheme().is_some()) {
        let host = HeaderValue::from_str(authority.as_str()).map_err(|error| error.to_string())?;
        parts.headers.entry(http::header::HOST).or_insert(host);
        let path = args.url.path_and_query().map_or("/", |it| it.as_str());
        parts.uri = path.parse().map_err(|error| format!("{path:?} is not a request target: {error}"))?;
    }
    if let Some(peer) = args.peer {
        parts.extensions.insert(peer);
    }
    if let Some(mount) = &args.mount {
        let mount = Mount::from_script_name(mount.as_bytes()).map_err(|error| format!("--mount: {error}"))?;
        parts.extensions.insert(mount);
    }
    Ok(parts)
}

/// The whole story of one request, for people.
pub(crate) fn describe(
    before: &Parts,
    after: &Parts,
    origin: &Origin,
    steps: &[Step],
    status: Option<u16>,
) -> String {
    let mut lines = vec![heading("The walk, from the peer leftward")];
    for (index, step) in steps.iter().enumerate() {
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
    lines.push(format!("  {}{origin}.{}", anstyle::Style::new().bold(), anstyle::Reset));
    lines.push(String::new());
    if let Some(status) = status {
        lines.push(format!("The policy answers {status}; the application is not called."));
    } else {
        lines.push(heading("The request, before and after"));
        lines.push(crate::demo::table(&before_and_after(before, after)));
    }
    lines.join("\n") + "\n"
}

/// The URL that the client asked for, as far as it is known.
pub(crate) fn url(parts: &Parts, origin: &Origin) -> String {
    let host = origin.host().map_or("(no host)", proxyfix::Host::as_str);
    let port = origin.port().map(|port| format!(":{port}")).unwrap_or_default();
    let mount = parts.extensions.get::<Mount>().cloned().unwrap_or_default();
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}://{host}{port}{}{query}", origin.scheme(), mount.join(parts.uri.path()))
}

fn before_and_after(before: &Parts, after: &Parts) -> Vec<[String; 3]> {
    let target = |parts: &Parts| format!("{} {}", parts.method, parts.uri);
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
        rows.push([name.to_string(), value(before, name), value(after, name)]);
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

/// The decision of `stack` about `parts`, which it corrects, for people.
pub(crate) fn explained(stack: &Stack, parts: &mut Parts) -> (String, Option<u16>) {
    let before = parts.clone();
    let mut steps = Vec::new();
    stack.explain(parts, &mut steps);
    let origin = origin_of(parts).into_owned();
    let status = stack.rejects(&origin);
    (describe(&before, parts, &origin, &steps, status), status)
}
