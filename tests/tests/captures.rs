//! What real servers sent, and what the application sees of it: environ to request, and the fixes.
//!
//! The captures, and how they are written down: `data/captures/README.md`. What a target means is said
//! here a second time and in another way, by [`Deployment::meant`]: decoded, slashes merged, dots removed,
//! the mount taken off.

use std::collections::BTreeMap;
use std::fmt::Write as _;
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
            Some([first, last]) if first.is_u64() => {
                all.extend_from_slice(&pairs[place(first)..=place(last)]);
            }
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
            let (name, line, body, written): (String, String, u64, Vec<Value>) =
                serde_json::from_str(line).unwrap();
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
        let (name, _, _, _, headers): (String, bool, String, u64, Vec<Vec<Value>>) =
            serde_json::from_str(line).unwrap();
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

/// Where a cure does not give what `REQUEST_URI` means, because the server had another path in mind:
/// the request, the cure, and in how many deployments.
const OTHERWISE: [(&str, &str, usize); 16] = [
    // Caddy takes `/YOURAPPLICATION` for the prefix.
    ("case-prefix", "Join", 1),
    ("case-prefix", "Nothing", 1),
    // HAProxy leaves the second slash where it is: `/yourapplication//foo` is refused.
    ("double-slash-lead", "Declare", 1),
    // A rewrite of .htaccess ends the path at `%23`.
    ("encoded-hash", "Strip", 4),
    // lighttpd up to 1.4.45, and later ones that do not normalize, write `_` for a control character; the
    // expressions of nginx do not match a line feed.
    ("encoded-newline", "Join", 17),
    ("encoded-newline", "Nothing", 13),
    ("encoded-nul", "Join", 17),
    ("encoded-nul", "Nothing", 10),
    // HAProxy leaves `/..` where it is.
    ("escape-root", "Join", 1),
    ("escape-root", "Nothing", 1),
    // The script by its own name: nothing is rewritten, and what follows it is the path.
    ("fcgi-in-url", "Strip", 6),
    ("fcgi-in-url-bare", "Strip", 2),
    ("fcgi-in-url-slash", "Strip", 2),
    // mod_proxy_uwsgi, and a rewrite that is printed in guides for nginx, add the slash.
    ("mount-no-slash", "Join", 2),
    ("mount-no-slash", "Nothing", 2),
    // The `if` block for nginx takes it away.
    ("mount-slash", "Nothing", 1),
];

#[test]
fn every_cure_gives_the_public_mount_and_the_rest() {
    let (mut checked, mut otherwise) = (BTreeMap::new(), BTreeMap::new());
    for deployment in deployments() {
        for cure in deployment.cures() {
            for request in &deployment.requests {
                let found = match cure.apply(&deployment.prefix(), &request.variables) {
                    Ok(parts) => {
                        let mount = parts.extensions.get::<Mount>().unwrap();
                        let path = parts.uri.path().as_bytes();
                        let path = if mount.nothing_below() { Vec::new() } else { meaning(path) };
                        (mount.prefix() == &deployment.prefix()).then_some(path)
                    }
                    Err(refusal) if is_refused(request, refusal.status()) => continue,
                    Err(refusal) if refusal.status() == StatusCode::NOT_FOUND => None,
                    Err(refusal) => panic!("{} {}: {refusal}", deployment.name(), request.name),
                };
                *checked.entry(format!("{cure:?}")).or_insert(0) += 1;
                if found != deployment.meant(request) {
                    *otherwise.entry((request.name.clone(), format!("{cure:?}"))).or_insert(0) += 1;
                }
            }
        }
    }
    let checked: Vec<_> = checked.iter().map(|(cure, count)| (cure.as_str(), *count)).collect();
    assert_eq!(checked, [("Declare", 5616), ("Join", 5049), ("Nothing", 3436), ("Strip", 423)]);
    let otherwise: Vec<_> =
        otherwise.iter().map(|((name, cure), count)| (&**name, &**cure, *count)).collect();
    assert_eq!(otherwise, OTHERWISE);
}

#[test]
fn a_script_name_that_is_stripped_where_it_is_a_part_of_the_path_loses_it() {
    let wrong = |shape: &str| {
        let of_shape = deployments().into_iter().filter(|it| it.shape == shape);
        let lost = |it: &Deployment| {
            let foo = it.requests.iter().find(|it| it.name == "foo" || it.name == "h2-get").unwrap();
            Cure::Strip.apply(&it.prefix(), &foo.variables).unwrap().uri.path() == "/"
        };
        of_shape.filter(lost).count()
    };
    assert_eq!((wrong("whole"), wrong("segment"), wrong("script")), (12, 13, 0));
}

/// Calls `check` with what is made of each request, without a declared mount, and counts.
#[track_caller]
fn each(gateway: &Gateway, mut check: impl FnMut(&Deployment, &Captured, &Parts)) -> usize {
    let mut count = 0;
    for deployment in deployments() {
        for request in &deployment.requests {
            if let Ok(parts) = gateway.request(request.variables.clone()) {
                check(&deployment, request, &parts);
                count += 1;
            }
        }
    }
    count
}

#[test]
fn t149_t155_t190_what_is_refused() {
    let mut refused = BTreeMap::new();
    for deployment in deployments() {
        for request in &deployment.requests {
            if let Err(refusal) = Gateway::new().request(request.variables.clone()) {
                let by = (deployment.server.clone(), request.name.clone(), refusal.status().as_u16());
                *refused.entry(by).or_insert(0) += 1;
            }
        }
    }
    let refused: Vec<_> = refused.iter().map(|((a, b, c), count)| (&**a, &**b, *c, *count)).collect();
    assert_eq!(
        refused,
        [
            ("apache", "trace", 405, 12),
            // A split inside a segment: `/yourapplicationz/foo`, `/yourapplication.fcgi`.
            ("caddy", "fcgi-in-url", 404, 1),
            ("caddy", "fcgi-in-url-bare", 404, 1),
            ("caddy", "fcgi-in-url-slash", 404, 1),
            ("caddy", "prefix-neighbour", 404, 1),
            ("caddy", "trace", 405, 2),
            ("haproxy", "dup-content-type", 400, 4),
            ("haproxy", "trace", 405, 4),
            ("lighttpd", "trace", 405, 23),
            ("nginx", "fcgi-in-url", 404, 1),
            ("nginx", "fcgi-in-url-bare", 404, 1),
            ("nginx", "fcgi-in-url-slash", 404, 1),
            ("nginx", "prefix-neighbour", 404, 1),
        ]
    );
}

#[test]
fn method_version_scheme_and_peer() {
    let checked = each(&Gateway::new(), |deployment, request, parts| {
        let at = format!("{} {}", deployment.name(), request.name);
        if request.name.starts_with("h2-") {
            assert_eq!(parts.version, Version::HTTP_2, "{at}");
        } else {
            let (method, rest) = request.line.split_once(' ').unwrap();
            assert_eq!(parts.method.as_str(), method, "{at}");
            // HAProxy and Caddy raise the version of what they pass on, and one nginx block states it.
            let old = rest.ends_with("HTTP/1.0") && parts.version == Version::HTTP_10;
            assert!(old || parts.version == Version::HTTP_11, "{at}: {:?}", parts.version);
        }
        let https = *parts.extensions.get::<Scheme>().unwrap() == Scheme::Https;
        assert_eq!(https, request.name.starts_with("https") || request.name.starts_with("h2-"), "{at}");
        let peer = if request.name == "ipv6-client" { "[::1]:40000" } else { "127.0.0.1:40000" };
        assert_eq!(parts.extensions.get::<Peer>().unwrap().to_string(), peer, "{at}");
        assert_eq!(parts.extensions.get::<MetaVariables>().unwrap().len(), request.variables.len(), "{at}");
        assert!(parts.extensions.get::<RemoteUser>().is_none(), "{at}");
    });
    assert_eq!(checked, 5608);
}

#[test]
fn t153_t156_the_target_says_what_the_client_said() {
    let (mut raw, mut queries) = (0, 0);
    let checked = each(&Gateway::new(), |deployment, request, parts| {
        let at = format!("{} {}", deployment.name(), request.name);
        let uri = request.get("REQUEST_URI").unwrap();
        let end = uri.iter().position(|it| *it == b'#').unwrap_or(uri.len());
        let query = uri[..end].iter().position(|it| *it == b'?').map(|it| &uri[it + 1..end]);
        assert_eq!(parts.uri.query().map(str::as_bytes), query, "{at}");
        queries += usize::from(query.is_some());
        let target = parts.uri.to_string();
        assert!(target.starts_with('/') && target.bytes().all(|it| it.is_ascii_graphic()), "{at}: {target}");
        assert!(parts.uri.authority().is_none(), "{at}");
        raw += usize::from(request.path().ends_with(parts.uri.path().as_bytes()));
    });
    assert_eq!((checked, raw, queries), (5608, 3905, 847));
}

#[test]
fn an_encoded_slash_survives_every_cure() {
    let mut checked = 0;
    for deployment in deployments() {
        for request in deployment.requests.iter().filter(|it| it.name.ends_with("encoded-slash")) {
            for cure in deployment.cures() {
                let parts = cure.apply(&deployment.prefix(), &request.variables).unwrap();
                let expected =
                    if request.name.starts_with("double") { "/foo/bar%252Fbaz" } else { "/foo/bar%2Fbaz" };
                let target = parts.uri.to_string();
                assert_eq!(
                    target,
                    format!("{expected}?q=1"),
                    "{} {} {cure:?}",
                    deployment.name(),
                    request.name
                );
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 476);
}

#[test]
fn t146_t147_t148_t150_which_headers_there_are() {
    const NEVER: [&str; 12] = [
        "proxy",
        "proxy-authorization",
        "proxy-connection",
        "connection",
        "keep-alive",
        "te",
        "transfer-encoding",
        "upgrade",
        "trailer",
        "expect",
        "remote-addr-x",
        "request-uri",
    ];
    let mut count = 0;
    let checked = each(&Gateway::new(), |deployment, request, parts| {
        let at = format!("{} {}", deployment.name(), request.name);
        assert!(NEVER.iter().all(|name| !parts.headers.contains_key(*name)), "{at}: {:?}", parts.headers);
        // Each line of each header is a variable: its own, or the one that CGI has for it.
        for (name, value) in &parts.headers {
            let variable = name.as_str().to_ascii_uppercase().replace('-', "_");
            let variable = match &*variable {
                "CONTENT_TYPE" | "CONTENT_LENGTH" => variable,
                _ => format!("HTTP_{variable}"),
            };
            assert!(request.variables.get_all(&variable).any(|it| it == value.as_bytes()), "{at}: {name}");
            count += 1;
        }
        let declared =
            parts.headers.get("content-length").map(|it| it.to_str().unwrap().parse::<u64>().unwrap());
        // mod_fcgid loses the body of HTTP/2 that had no length, and says that it is there.
        let lost = request.name == "h2-post-unknown-length" && deployment.server == "apache";
        assert!(lost || declared.is_none_or(|it| it == request.body), "{at}: {declared:?} {}", request.body);
        let sends = [Method::POST, Method::PUT, Method::PATCH].contains(&parts.method);
        assert!(sends || declared != Some(0), "{at}");
    });
    assert_eq!((checked, count), (5608, 15113));
}

#[test]
fn t147_t164_repeated_headers_keep_their_order() {
    let sent = sent();
    let values = |headers: &HeaderMap, name: &str| -> Vec<String> {
        let text = |it: &http::HeaderValue| String::from_utf8_lossy(it.as_bytes()).into_owned();
        headers.get_all(name).iter().map(text).collect()
    };
    let mut lines = BTreeMap::new();
    each(&Gateway::new(), |deployment, request, parts| {
        if request.name != "dup-headers" {
            return;
        }
        for name in ["x-forwarded-for", "cookie", "accept"] {
            let wrote =
                sent["dup-headers"].iter().filter(|it| it[0].as_str().unwrap().eq_ignore_ascii_case(name));
            let wrote: Vec<_> = wrote.map(|it| it[1].as_str().unwrap().to_owned()).collect();
            let found = values(&parts.headers, name);
            let joined = [wrote.join(", "), wrote.join("; ")].contains(&found.join(", "));
            // Caddy writes its own.
            let own = deployment.server == "caddy" && name == "x-forwarded-for";
            assert!(found == wrote || joined || own, "{}: {found:?}", deployment.name());
            *lines.entry(found.len()).or_insert(0) += 1;
        }
    });
    assert_eq!(lines, BTreeMap::from([(1, 189), (2, 57)]));
}

#[test]
fn t147_aliases_with_underscores_can_be_refused_where_they_come_through() {
    let strict = Gateway::new().duplicate_headers(DuplicateHeaders::Reject);
    let (mut overwritten, mut refused) = (Vec::new(), 0);
    for deployment in deployments() {
        for request in deployment.requests.iter().filter(|it| it.name == "underscore-and-dash") {
            let lines: Vec<_> = request.variables.get_all("HTTP_X_FORWARDED_FOR").collect();
            let answer = strict.request(request.variables.clone());
            assert_eq!(answer.is_err(), lines.len() > 1, "{}", deployment.name());
            refused += usize::from(answer.is_err());
            if lines == [b"7.7.7.7"] {
                overwritten.push(deployment.server.clone());
            }
        }
    }
    // Caddy lets the alias overwrite the header, which nobody after it can see.
    assert_eq!((overwritten, refused), (vec!["caddy".to_owned(); 2], 29));
}

#[test]
fn a_user_whose_password_nobody_checked_is_seen_on_demand_only() {
    let mut users = BTreeMap::new();
    each(&Gateway::new().trust_remote_user(), |deployment, request, parts| {
        if let Some(RemoteUser(user)) = parts.extensions.get() {
            assert_eq!((&**user, &*request.name), ("aladdin", "authorization"));
            *users.entry(deployment.server.clone()).or_insert(0) += 1;
        }
    });
    assert_eq!(users, BTreeMap::from([("haproxy".to_owned(), 4), ("nginx".to_owned(), 9)]));
}

/// The table of `crates/proxyfix-cgi/docs/servers.md`.
fn table() -> String {
    struct Row {
        server: String,
        versions: Vec<String>,
        cells: String,
    }
    let mut rows: Vec<Row> = Vec::new();
    for deployment in deployments() {
        let two_segments = deployment.requests.iter().find(|it| it.name == "file-like");
        let one_segment =
            || deployment.requests.iter().find(|it| it.name == "foo" || it.name == "fcgi-in-url");
        // What was sent over HTTP/2 went the same ways.
        let Some(request) = two_segments.or_else(one_segment) else { continue };
        let (cure, prefix) = (deployment.cures()[0], deployment.prefix());
        let parts = cure.apply(&prefix, &request.variables).unwrap();
        let mount = parts.extensions.get::<Mount>().unwrap();
        assert_eq!(
            Some(parts.uri.path().as_bytes().to_vec()),
            deployment.meant(request),
            "{}",
            deployment.name()
        );
        let quoted = |it: Option<&[u8]>| match it.map(String::from_utf8_lossy) {
            None => "absent".to_owned(),
            Some(it) if it.is_empty() => "empty".to_owned(),
            Some(it) => format!("`{it}`"),
        };
        let cure = match (cure, prefix.is_root()) {
            (Cure::Nothing, _) => "none".to_owned(),
            (Cure::Join, true) => "`LighttpdCgiRootFix::new()`".to_owned(),
            (Cure::Join, false) => format!("`LighttpdCgiRootFix::at({prefix:?})`", prefix = prefix.as_str()),
            (Cure::Strip, true) => "`ScriptNameStripper::new()`".to_owned(),
            (Cure::Strip, false) => format!("`ScriptNameStripper::to({prefix:?})`", prefix = prefix.as_str()),
            (Cure::Declare, _) => "`Gateway::mount` only".to_owned(),
        };
        let cells = format!(
            "{} | `{}` | {} | {} | {cure} | {} | `{}` |",
            deployment.description,
            String::from_utf8_lossy(request.path()),
            quoted(request.get("SCRIPT_NAME")),
            quoted(request.get("PATH_INFO")),
            quoted(Some(mount.prefix().as_str().as_bytes())),
            parts.uri.path(),
        );
        match rows.iter_mut().find(|row| row.server == deployment.server && row.cells == cells) {
            Some(row) => row.versions.push(deployment.version),
            None => rows.push(Row { server: deployment.server, versions: vec![deployment.version], cells }),
        }
    }
    let mut text = String::from(
        "| server | configuration | request | `SCRIPT_NAME` | `PATH_INFO` | fix | mount then | path then |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for Row { server, versions, cells } in rows {
        let server = match &*server {
            "apache" => "Apache",
            "caddy" => "Caddy",
            "haproxy" => "HAProxy",
            server => server,
        };
        writeln!(text, "| {server} {} | {cells}", versions.join(", ")).unwrap();
    }
    text
}

#[test]
fn the_table_in_the_docs_is_what_the_captures_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/proxyfix-cgi/docs/servers.md");
    let text = fs::read_to_string(file).unwrap();
    let table = table();
    assert!(text.contains(&table), "docs/servers.md has another table than this one:\n{table}");
}
