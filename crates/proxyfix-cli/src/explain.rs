//! Why one request is decided as it is.

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Uri};
use proxyfix::{Mount, Peer};

use crate::decision::Decision;
use crate::stack::PolicyArgs;
use crate::text::{Reader, describe};

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
    /// The request named the mount itself, with nothing below it: an absent PATH_INFO.
    #[arg(long, requires = "mount")]
    no_path_info: bool,
    /// Writes the decision as JSON.
    #[arg(long)]
    json: bool,
    /// The request target, or a URL whose host becomes the Host header. Its scheme is not believed: between
    /// proxy and service it is http.
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
    let before = parts.clone();
    let order: Vec<HeaderName> = before.headers.keys().cloned().collect();
    stack.apply(&mut parts);
    let origin = stack.origin(&parts);
    let status = stack.refuses(&parts, &origin);
    if args.json {
        let mut decision = Decision::new(&parts, &origin, status, &order);
        decision.reason = Some(origin.to_string());
        let text = serde_json::to_string_pretty(&decision).map_err(|error| error.to_string())?;
        anstream::println!("{text}");
    } else {
        anstream::print!("{}", describe(&before, &parts, &origin, status, Reader::Author));
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
        parts.extensions.insert(mount.with_nothing_below(args.no_path_info));
    }
    Ok(parts)
}
