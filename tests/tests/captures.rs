//! What real servers sent, and what the application sees of it: environ to request, and the fixes.
//!
//! The captures, and how they are written down: `data/captures/README.md`. What a target means is said
//! here a second time and in another way, by [`Deployment::meant`]: decoded, slashes merged, dots removed,
//! the mount taken off.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Version};
use percent_encoding::percent_decode;
use proxyfix::{Fix, LighttpdCgiRootFix, Mount, Peer, Prefix, Scheme, ScriptNameStripper};
use proxyfix_cgi::{DuplicateHeaders, Gateway, MetaVariables, Refusal, RemoteUser};
use serde::Deserialize;
use serde_json::Value;

// The captures.

#[derive(Deserialize)]
struct Deployment {
    server: String,
    version: String,
    configuration: String,
    protocol: String,
    mount: String,
    shape: String,
    description: String,
    pairs: Vec<(String, String)>,
    #[serde(skip)]
    requests: Vec<Captured>,
}

struct Captured {
    name: String,
    /// The request line; of HTTP/2, a description.
    line: String,
    body: u64,
    variables: MetaVariables,
}

/// Whatever octets a string of a capture stands for.
fn octets(text: &str) -> Vec<u8> {
    text.chars().map(|it| u8::try_from(u32::from(it)).expect("ISO-8859-1")).collect()
}

fn variables(pairs: &[(String, String)], written: &[Value]) -> MetaVariables {
    let place = |it: &Value| usize::try_from(it.as_u64().unwrap()).unwrap();
    let mut all = Vec::new();
    for it in written {
        match it.as_array().map(Vec::as_slice) {
            None => all.push(pairs[place(it)].clone()),
            Some([first, last]) if first.is_u64() => all.extend_from_slice(&pairs[place(first)..=place(last)]),
            Some([name, value, rest @ ..]) => {
                let times = rest.first().map_or(1, place);
                all.push((name.as_str().unwrap().to_owned(), value.as_str().unwrap().repeat(times)));
            }
            other => panic!("no pair: {other:?}"),
        }
    }
    all.iter().map(|(name, value)| (octets(name), octets(value))).collect()
}

fn deployments() -> Vec<Deployment> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/captures");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.retain(|it| it.extension().is_some_and(|it| it == "jsonl") && !it.ends_with("requests.jsonl"));
    let read = |file: &std::path::PathBuf| {
        let text = fs::read_to_string(file).unwrap();
        let (head, lines) = text.split_once('\n').unwrap();
        let mut deployment: Deployment = serde_json::from_str(head).unwrap();
        for line in lines.lines() {
            let (name, line, body, written): (String, String, u64, Vec<Value>) = serde_json::from_str(line).unwrap();
            let variables = variables(&deployment.pairs, &written);
            deployment.requests.push(Captured { name, line, body, variables });
        }
        deployment
    };
    files.iter().map(read).collect()
}

/// Headers of the requests that were sent, by name.
fn sent() -> BTreeMap<String, Vec<Vec<Value>>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/captures/requests.jsonl");
    let text = fs::read_to_string(file).unwrap();
    let read = |line: &str| -> (String, Vec<Vec<Value>>) {
        let (name, _, _, _, headers): (String, bool, String, u64, Vec<Vec<Value>>) = serde_json::from_str(line).unwrap();
        (name, headers)
    };
    text.lines().map(read).collect()
}

impl Deployment {
    fn name(&self) -> String {
        format!("{}-{}-{}", self.server, self.version, self.configuration)
    }

    fn prefix(&self) -> Prefix {
        self.mount.parse().unwrap()
    }

    /// What a request means, by its `REQUEST_URI`: the path below the mount, decoded; `None` elsewhere.
    fn meant(&self, request: &Captured) -> Option<Vec<u8>> {
        let path = meaning(request.path());
        let rest = path.strip_prefix(self.mount.as_bytes())?;
        matches!(rest, [] | [b'/', ..]).then(|| rest.to_vec())
    }

    /// The cures that give mount and path.
    fn cures(&self) -> &'static [Cure] {
        match &*self.shape {
            "right" | "nothing" => &[Cure::Nothing, Cure::Join, Cure::Declare],
            "whole" | "segment" | "below" => &[Cure::Join, Cure::Declare],
            "script" => &[Cure::Strip, Cure::Declare],
            "slashless" => &[Cure::Nothing, Cure::Declare],
            "twice" | "lost" => &[Cure::Declare],
            other => panic!("no shape: {other}"),
        }
    }
}

impl Captured {
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.variables.get(name)
    }

    /// The path of `REQUEST_URI`.
    fn path(&self) -> &[u8] {
        let uri = self.get("REQUEST_URI").unwrap();
        let end = uri.iter().position(|it| b"?#".contains(it)).unwrap_or(uri.len());
        uri[..end].strip_prefix(b"http://other.example:81").unwrap_or(&uri[..end])
    }

    fn is_https(&self) -> bool {
        self.name.starts_with("https") || self.name.starts_with("h2-")
    }
}

/// Decoded, slashes merged, dots removed.
fn meaning(path: &[u8]) -> Vec<u8> {
    let path: Vec<u8> = percent_decode(path).collect();
    let mut kept: Vec<&[u8]> = Vec::new();
    for segment in path.split(|it| *it == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let directory = [&b"/"[..], b"/.", b"/.."].iter().any(|end| path.ends_with(end));
    let mut text: Vec<u8> = kept.iter().flat_map(|it| [b"/", *it].concat()).collect();
    if directory {
        text.push(b'/');
    }
    text
}

// The cures.

#[derive(Clone, Copy, Debug, PartialEq)]
enum Cure {
    Nothing,
    /// `LighttpdCgiRootFix`
    Join,
    /// `ScriptNameStripper`
    Strip,
    /// `Gateway::mount`
    Declare,
}

impl Cure {
    fn apply(self, mount: &Prefix, variables: &MetaVariables) -> Result<Parts, Refusal> {
        let gateway = Gateway::new();
        let gateway = if self == Self::Declare { gateway.mount(mount.clone()) } else { gateway };
        let mut parts = gateway.request(variables.clone())?;
        // Twice is once.
        for _ in 0..2 {
            match self {
                Self::Nothing | Self::Declare => {}
                Self::Join => LighttpdCgiRootFix::at(mount.clone()).fix(&mut parts),
                Self::Strip => ScriptNameStripper::to(mount.clone()).fix(&mut parts),
            }
        }
        Ok(parts)
    }
}

/// The refusals that are no matter of mount and path.
fn is_refused(request: &Captured, status: StatusCode) -> bool {
    match status {
        StatusCode::METHOD_NOT_ALLOWED => request.name == "trace",
        StatusCode::BAD_REQUEST => request.name == "dup-content-type",
        _ => false,
    }
}

#[test]
fn all_captures_are_read() {
    let all = deployments();
    let requests: usize = all.iter().map(|it| it.requests.len()).sum();
    assert_eq!((all.len(), requests), (97, 5661));
}

#[test]
fn every_cure_gives_the_public_mount_and_the_rest() {
    let (mut checked, mut wrong) = (BTreeMap::new(), Vec::new());
    for deployment in deployments() {
        for cure in deployment.cures() {
            for request in &deployment.requests {
                let found = cure.apply(&deployment.prefix(), &request.variables);
                let found = match &found {
                    Ok(parts) => {
                        let mount = parts.extensions.get::<Mount>().unwrap();
                        let path = if mount.nothing_below() { Vec::new() } else { meaning(parts.uri.path().as_bytes()) };
                        (mount.prefix() == &deployment.prefix()).then_some(path)
                    }
                    Err(refusal) if is_refused(request, refusal.status()) => continue,
                    Err(refusal) => (refusal.status() != StatusCode::NOT_FOUND).then(Vec::new),
                };
                *checked.entry(format!("{cure:?}")).or_insert(0) += 1;
                if found != deployment.meant(request) {
                    let show = |it: &Option<Vec<u8>>| it.as_ref().map(|it| it.escape_ascii().to_string());
                    wrong.push(format!(
                        "{} {} {cure:?}: {:?} {:?}",
                        deployment.name(),
                        request.name,
                        show(&found),
                        show(&deployment.meant(request))
                    ));
                }
            }
        }
    }
    println!("{checked:?}");
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}
