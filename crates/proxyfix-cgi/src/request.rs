//! From meta-variables to a request. The rules stand at [`Gateway`].

use std::borrow::Cow;
use std::net::IpAddr;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header, request};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode, percent_encode};
use proxyfix_policy::{Mount, Peer, Prefix, Scheme};

use crate::events::{Report, report};
use crate::{DuplicateHeaders, Gateway, MetaVariables};

/// Why no request was made of the meta-variables, and the status that the gateway answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) reason: &'static str,
}

impl Refusal {
    pub(crate) const fn new(status: StatusCode, reason: &'static str) -> Self {
        Self { status, reason }
    }

    const fn bad(reason: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    /// What the gateway answers.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.status, self.reason)
    }
}

impl std::error::Error for Refusal {}

/// The user whom the web server authenticated, where
/// [`Gateway::trust_remote_user`] believes that it did (RFC 3875 section 4.1.11).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteUser(pub String);

/// The longest target that [`Uri`] holds.
const LONGEST_TARGET: usize = u16::MAX as usize - 1;

/// No part of a split that lies below the declared mount, or below any.
const ELSEWHERE: Refusal =
    Refusal::new(StatusCode::NOT_FOUND, "the path does not lie below the mount, on a segment boundary");

impl Gateway {
    /// Makes the head of a request of what the web server said, by the rules that stand [above](Self).
    ///
    /// A refusal is reported.
    pub fn request(&self, variables: MetaVariables) -> Result<request::Parts, Refusal> {
        let mut parts =
            self.head_of(&variables).inspect_err(|refusal| report(Report::BadRequest, refusal))?;
        parts.extensions.insert(variables);
        Ok(parts)
    }

    fn head_of(&self, variables: &MetaVariables) -> Result<request::Parts, Refusal> {
        let (said, headers) = self.read(variables)?;
        let method = method(said.method)?;
        let (mount, target) = self.target(&said, &method, variables)?;

        let mut parts = http::Request::new(()).into_parts().0;
        parts.method = method;
        parts.uri = Uri::from(target);
        parts.version = version(said.protocol);
        parts.headers = headers;
        said.write_content(variables, &mut parts)?;
        if let Some(value) = said.authorization(self) {
            parts.headers.insert(header::AUTHORIZATION, header_value(variables, value)?);
        }
        parts.extensions.insert(mount);
        parts.extensions.insert(said.scheme());
        parts.extensions.insert(said.peer());
        if let Some(user) = said.remote_user.filter(|user| self.remote_user && !user.is_empty()) {
            if let Ok(user) = std::str::from_utf8(user) {
                parts.extensions.insert(RemoteUser(user.to_owned()));
            }
        }
        Ok(parts)
    }

    /// One pass over the variables: those that count, and the headers.
    fn read<'a>(&self, variables: &'a MetaVariables) -> Result<(Said<'a>, HeaderMap), Refusal> {
        let mut said = Said::default();
        // Web servers send about sixteen variables that are no headers. Room for more headers than come costs
        // more than the growth that it spares: large blocks of memory are dear.
        let mut headers = HeaderMap::with_capacity(variables.len().saturating_sub(16).clamp(4, 64));
        for (name, value) in variables.iter() {
            if let Some(name) = name.strip_prefix(b"HTTP_") {
                self.read_header(name, value, variables, &mut said, &mut headers)?;
                continue;
            }
            match name {
                b"REQUEST_METHOD" => said.method = value,
                b"REQUEST_URI" => said.request_uri = value,
                b"SCRIPT_NAME" => said.script_name = Some(value),
                b"PATH_INFO" => said.path_info = Some(value),
                b"QUERY_STRING" => said.query_string = Some(value),
                b"SERVER_PROTOCOL" => said.protocol = value,
                b"HTTPS" => said.https = value,
                b"REQUEST_SCHEME" => said.request_scheme = value,
                b"REMOTE_ADDR" => said.remote_addr = value,
                b"REMOTE_PORT" => said.remote_port = value,
                b"REMOTE_USER" => said.remote_user = Some(value),
                b"CONTENT_LENGTH" => {
                    once(&mut said.content_length, value)?;
                }
                b"CONTENT_TYPE" => {
                    once(&mut said.content_type, value)?;
                }
                b"REDIRECT_HTTP_AUTHORIZATION" => said.redirect_authorization = Some(value),
                _ => {}
            }
        }
        Ok((said, headers))
    }

    /// One variable whose name began with `HTTP_`.
    fn read_header<'a>(
        &self,
        name: &[u8],
        value: &'a [u8],
        variables: &MetaVariables,
        said: &mut Said<'a>,
        headers: &mut HeaderMap,
    ) -> Result<(), Refusal> {
        let again = match name {
            // What `CONTENT_TYPE` and `CONTENT_LENGTH` say, what is between client and web server only,
            // and what the web server has answered.
            b"CONTENT_TYPE" | b"CONTENT_LENGTH" | b"CONNECTION" | b"KEEP_ALIVE" | b"TE"
            | b"TRANSFER_ENCODING" | b"UPGRADE" | b"TRAILER" | b"PROXY_CONNECTION" | b"EXPECT" => false,
            b"PROXY" | b"PROXY_AUTHORIZATION" => {
                report(Report::Dropped, &"HTTP_PROXY or HTTP_PROXY_AUTHORIZATION, which become no header");
                false
            }
            b"AUTHORIZATION" => once(&mut said.authorization, value)?,
            b"HOST" => {
                let again = once(&mut said.host, value)?;
                if !again {
                    headers.insert(header::HOST, header_value(variables, value)?);
                }
                again
            }
            name => {
                let Some(header) = header_name(name) else {
                    let name = name[..name.len().min(64)].escape_ascii();
                    report(Report::Dropped, &format_args!("a variable that names no header: HTTP_{name}"));
                    return Ok(());
                };
                headers.try_append(header, header_value(variables, value)?).map_err(|_| {
                    Refusal::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "there are too many headers")
                })?
            }
        };
        if again && self.duplicates == DuplicateHeaders::Reject {
            return Err(Refusal::bad("a header came in several variables"));
        }
        Ok(())
    }

    /// Where the application hangs, and the target as it sees it.
    fn target(
        &self,
        said: &Said<'_>,
        method: &Method,
        variables: &MetaVariables,
    ) -> Result<(Mount, PathAndQuery), Refusal> {
        let requested = Requested::read(said.request_uri)?;
        let whole_server = requested.as_ref().is_some_and(|it| it.path == b"*");
        if whole_server && method != Method::OPTIONS {
            return Err(Refusal::bad("REQUEST_URI is * and the method is not OPTIONS"));
        }
        let (mount, path) = match &self.mount {
            Some(mount) if whole_server => (Mount::from(mount.clone()), Path::Raw(b"*")),
            Some(mount) => declared(mount, said, requested.as_ref())?,
            None => as_sent(said, requested.as_ref(), whole_server)?,
        };
        let query = said.query(requested.as_ref());
        Ok((mount, target(&path, query, requested.as_ref(), variables)?))
    }
}

/// The declared length of the body: `None` where it is absent, empty or `-1`.
pub(crate) fn declared_length(variables: &MetaVariables) -> Option<u64> {
    content_length(variables.get("CONTENT_LENGTH")).ok()?
}

fn content_length(value: Option<&[u8]>) -> Result<Option<u64>, Refusal> {
    match value {
        None | Some(b"" | b"-1") => Ok(None),
        // `parse` alone would take a sign.
        Some(digits) if digits.iter().all(u8::is_ascii_digit) => std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .map(Some)
            .ok_or(Refusal::bad("CONTENT_LENGTH is no number that a body can have")),
        Some(_) => Err(Refusal::bad("CONTENT_LENGTH is no number")),
    }
}

/// Keeps the first value and answers whether it was there before; two that differ are refused.
fn once<'a>(place: &mut Option<&'a [u8]>, value: &'a [u8]) -> Result<bool, Refusal> {
    match place.replace(value) {
        None => Ok(false),
        Some(before) if before == value => Ok(true),
        Some(_) => Err(Refusal::bad("two different values for the type, the length, Host or Authorization")),
    }
}

fn method(name: &[u8]) -> Result<Method, Refusal> {
    match Method::from_bytes(name) {
        Ok(Method::CONNECT) => Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, "a gateway opens no tunnels")),
        Ok(Method::TRACE) => {
            Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "TRACE is the web server's to answer"))
        }
        Ok(method) => Ok(method),
        Err(_) => Err(Refusal::bad("REQUEST_METHOD is no token")),
    }
}

fn version(protocol: &[u8]) -> Version {
    match protocol {
        b"HTTP/1.0" => Version::HTTP_10,
        b"HTTP/2" | b"HTTP/2.0" => Version::HTTP_2,
        b"HTTP/3" | b"HTTP/3.0" => Version::HTTP_3,
        _ => Version::HTTP_11,
    }
}

/// The header that is meant by what follows `HTTP_`, if it is one.
fn header_name(name: &[u8]) -> Option<HeaderName> {
    let (mut short, mut long) = ([0; 64], Vec::new());
    let lowered = if name.len() <= short.len() {
        &mut short[..name.len()]
    } else {
        long.resize(name.len(), 0);
        &mut long[..]
    };
    for (lowered, octet) in lowered.iter_mut().zip(name) {
        *lowered = match octet {
            b'A'..=b'Z' | b'0'..=b'9' => octet.to_ascii_lowercase(),
            b'_' => b'-',
            _ => return None,
        };
    }
    HeaderName::from_lowercase(lowered).ok()
}

fn header_value(variables: &MetaVariables, value: &[u8]) -> Result<HeaderValue, Refusal> {
    HeaderValue::from_maybe_shared(variables.share(value))
        .map_err(|_| Refusal::bad("a header has a control character"))
}

/// The variables that count, the last of each name.
#[derive(Default)]
struct Said<'a> {
    method: &'a [u8],
    protocol: &'a [u8],
    request_uri: &'a [u8],
    script_name: Option<&'a [u8]>,
    path_info: Option<&'a [u8]>,
    query_string: Option<&'a [u8]>,
    https: &'a [u8],
    request_scheme: &'a [u8],
    remote_addr: &'a [u8],
    remote_port: &'a [u8],
    remote_user: Option<&'a [u8]>,
    content_length: Option<&'a [u8]>,
    content_type: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
    authorization: Option<&'a [u8]>,
    redirect_authorization: Option<&'a [u8]>,
}

impl<'a> Said<'a> {
    fn scheme(&self) -> Scheme {
        let https = self.https.eq_ignore_ascii_case(b"on")
            || self.https == b"1"
            || self.request_scheme.eq_ignore_ascii_case(b"https");
        if https { Scheme::Https } else { Scheme::Http }
    }

    fn peer(&self) -> Peer {
        let Ok(address) = std::str::from_utf8(self.remote_addr) else { return Peer::unknown() };
        if address.starts_with("unix:") {
            return Peer::local();
        }
        let bare = address.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(address);
        let port = std::str::from_utf8(self.remote_port).ok().and_then(|port| port.parse().ok());
        // A scope has no meaning here.
        bare.split('%')
            .next()
            .and_then(|address| address.parse::<IpAddr>().ok())
            .map_or(Peer::unknown(), |address| Peer::new(address, port))
    }

    /// Writes what is said of the body.
    fn write_content(&self, variables: &MetaVariables, parts: &mut request::Parts) -> Result<(), Refusal> {
        if let Some(value) = self.content_type.filter(|it| !it.is_empty()) {
            parts.headers.insert(header::CONTENT_TYPE, header_value(variables, value)?);
        }
        if let Some(length) = content_length(self.content_length)? {
            let sends_a_body = [Method::POST, Method::PUT, Method::PATCH].contains(&parts.method);
            if length > 0 || sends_a_body {
                parts.headers.insert(header::CONTENT_LENGTH, length.into());
            }
        }
        Ok(())
    }

    fn authorization(&self, gateway: &Gateway) -> Option<&'a [u8]> {
        let redirected = self.redirect_authorization.filter(|_| gateway.redirect_authorization);
        self.authorization.filter(|it| !it.is_empty()).or(redirected.filter(|it| !it.is_empty()))
    }

    /// The path as the web server routed it: cleaned, unless its own words are not. Then its rules did not
    /// see the path that cleaning makes of it.
    fn as_routed(&self, path: Vec<u8>) -> Vec<u8> {
        let is_clean = |said: &&[u8]| {
            let path = [if said.starts_with(b"/") { b"" } else { &b"/"[..] }, said].concat();
            said.is_empty() || normal(path.clone()) == path
        };
        let said = [self.script_name, self.path_info];
        if said.iter().flatten().all(is_clean) { normal(path) } else { path }
    }

    fn query(&self, requested: Option<&Requested<'a>>) -> Option<&'a [u8]> {
        let spelled = requested.and_then(|it| it.query);
        match self.query_string {
            None => spelled,
            Some(query) if query == spelled.unwrap_or_default() => spelled,
            Some(query) => Some(query).filter(|it| !it.is_empty()),
        }
    }
}

/// `REQUEST_URI`, the target as the client spelled it.
struct Requested<'a> {
    path: &'a [u8],
    query: Option<&'a [u8]>,
    /// Path and query together, but for the path that an absolute form leaves out.
    target: &'a [u8],
}

impl<'a> Requested<'a> {
    fn read(request_uri: &'a [u8]) -> Result<Option<Self>, Refusal> {
        let find = |text: &[u8], octets: &[u8]| {
            text.iter().position(|octet| octets.contains(octet)).unwrap_or(text.len())
        };
        let target = match request_uri {
            [] => return Ok(None),
            [b'/', ..] | b"*" => request_uri,
            absolute => {
                let (scheme, rest) = absolute.split_at(find(absolute, b":"));
                let authority = rest
                    .strip_prefix(b"://")
                    .filter(|_| !scheme.is_empty() && scheme.iter().all(u8::is_ascii_alphabetic));
                let authority =
                    authority.ok_or(Refusal::bad("REQUEST_URI names neither a path nor a URL"))?;
                &authority[find(authority, b"/?#")..]
            }
        };
        let target = &target[..find(target, b"#")];
        let (path, query) = target.split_at(find(target, b"?"));
        let path = if path.is_empty() { b"/" } else { path };
        Ok(Some(Self { path, query: query.get(1..), target }))
    }

    fn decoded(&self) -> Vec<u8> {
        percent_decode(self.path).collect()
    }

    /// The path as web servers route it, which looked at it so before they let it through.
    fn cleaned(&self) -> Path<'a> {
        if is_normal(self.path) {
            return Path::Raw(self.path);
        }
        let path = normal(self.decoded());
        Mount::spelling(self.path, &path).map_or(Path::Decoded(path.into()), Path::Raw)
    }
}

/// A path for the application.
#[derive(Debug, PartialEq)]
enum Path<'a> {
    /// As the client spelled it.
    Raw(&'a [u8]),
    /// As the web server decoded it: never to be decoded again.
    Decoded(Cow<'a, [u8]>),
}

/// Mount and path as the web server split them.
fn as_sent<'a>(
    said: &Said<'a>,
    requested: Option<&Requested<'a>>,
    whole_server: bool,
) -> Result<(Mount, Path<'a>), Refusal> {
    let spelled = |path: &[u8]| Mount::spelling(requested?.path, path).map(Path::Raw);
    let path = match (said.script_name, said.path_info) {
        _ if whole_server => Path::Raw(b"*"),
        (None, None) => requested.map_or(Path::Raw(b"/"), Requested::cleaned),
        (_, None | Some([])) => Path::Raw(b"/"),
        (_, Some(path @ [b'/', ..])) => spelled(path).unwrap_or(Path::Decoded(path.into())),
        (script_name, Some(path)) => {
            let below = without_slash(script_name.unwrap_or_default(), path, requested)?;
            spelled(&below).unwrap_or(Path::Decoded(below.into()))
        }
    };
    let split = !whole_server && (said.script_name.is_some() || said.path_info.is_some());
    let nothing_below = split && said.path_info.is_none_or(<[u8]>::is_empty);
    Ok((mount_of(said, requested, &path).with_nothing_below(nothing_below), path))
}

/// The mount that `SCRIPT_NAME` says.
fn mount_of(said: &Said<'_>, requested: Option<&Requested<'_>>, path: &Path<'_>) -> Mount {
    let mount = match said.script_name {
        None | Some([] | b"*") => Ok(Mount::root()),
        Some(name @ [b'/', ..]) => Mount::from_script_name(name),
        Some(name) => Mount::from_script_name(&[b"/", name].concat()),
    };
    let mount = mount.unwrap_or_default();
    let Some(requested) = requested else { return mount };
    // Only what script name and path do not spell by themselves has to be remembered.
    let path = match path {
        Path::Raw(path) => path,
        Path::Decoded(path) => &path[..],
    };
    let below = if requested.path == mount.script_name().as_bytes() { b"" } else { path };
    match requested.path.strip_suffix(below) {
        Some(name) if name == mount.script_name().as_bytes() && !below.contains(&b'%') => mount,
        _ => mount.with_request_path(&Cow::from(percent_encode(requested.path, ESCAPED))),
    }
}

/// What a `PATH_INFO` that does not begin with a slash means.
///
/// nginx makes two kinds of them: `foo`, from the `if` block of old guides, which also escapes the value
/// again; and `z/foo` of `/appz/foo`, where the split had no segment boundary. The second is refused, for
/// it lies beyond what the web server guards at `/app/`.
fn without_slash(
    script_name: &[u8],
    path: &[u8],
    requested: Option<&Requested<'_>>,
) -> Result<Vec<u8>, Refusal> {
    let as_is = [b"/", path].concat();
    let Some(requested) = requested else { return Ok(as_is) };
    let unescaped: Vec<u8> = percent_decode(&as_is).collect();
    let routed = normal(percent_decode(requested.path).collect());
    for below in [&as_is, &unescaped] {
        if normal([script_name, below].concat()) == routed {
            return Ok(below.clone());
        }
    }
    if normal([script_name, path].concat()) == routed {
        return Err(ELSEWHERE);
    }
    Ok(as_is)
}

/// Mount and path where the mount is known.
fn declared<'a>(
    mount: &Prefix,
    said: &Said<'_>,
    requested: Option<&Requested<'a>>,
) -> Result<(Mount, Path<'a>), Refusal> {
    let whole: Cow<'_, [u8]> = match requested {
        Some(requested) if is_normal(requested.path) => requested.path.into(),
        Some(requested) => said.as_routed(requested.decoded()).into(),
        None => {
            let (name, path) = (said.script_name.unwrap_or_default(), said.path_info.unwrap_or_default());
            let slash: &[u8] = if path.is_empty() || path.starts_with(b"/") { b"" } else { b"/" };
            said.as_routed([name, slash, path].concat()).into()
        }
    };
    let rest = below(mount, &whole)?;
    if !is_normal(&whole) {
        // Dots that the web server left do not lead out.
        below(mount, &normal(whole.to_vec()))?;
    }
    if rest.starts_with(b"//") && !mount.is_root() {
        return Err(ELSEWHERE);
    }
    if rest.is_empty() {
        return Ok((Mount::from(mount.clone()).with_nothing_below(true), Path::Raw(b"/")));
    }
    let spelled = requested.and_then(|it| Mount::spelling(it.path, rest)).map(Path::Raw);
    let path = spelled.unwrap_or_else(|| Path::Decoded(rest.to_vec().into()));
    Ok((Mount::from(mount.clone()), path))
}

/// What follows the mount in a path, on a segment boundary.
fn below<'a>(mount: &Prefix, path: &'a [u8]) -> Result<&'a [u8], Refusal> {
    let mut rest = path;
    for octet in percent_decode(mount.as_str().as_bytes()) {
        rest = rest.strip_prefix(&[octet]).ok_or(ELSEWHERE)?;
    }
    if matches!(rest, [] | [b'/', ..]) { Ok(rest) } else { Err(ELSEWHERE) }
}

/// Path and query, escaped where they have to be; without a copy where they stand in `REQUEST_URI` as they
/// are.
fn target(
    path: &Path<'_>,
    query: Option<&[u8]>,
    requested: Option<&Requested<'_>>,
    variables: &MetaVariables,
) -> Result<PathAndQuery, Refusal> {
    let octets = match (path, requested) {
        (Path::Raw(b"*"), _) => return Ok(PathAndQuery::from_static("*")),
        (Path::Raw(b"/"), _) if query.is_none() => return Ok(PathAndQuery::from_static("/")),
        (Path::Raw(path), Some(requested)) if query == requested.query => {
            let start = requested.path.len() - path.len();
            match requested.target.get(start..).map(|end| (end, Cow::from(percent_encode(end, ESCAPED)))) {
                Some((end @ [b'/', ..], Cow::Borrowed(_))) => variables.share(end),
                Some(([b'/', ..], Cow::Owned(end))) => end.into(),
                _ => joined(&Path::Raw(path), query),
            }
        }
        _ => joined(path, query),
    };
    if octets.len() > LONGEST_TARGET {
        return Err(Refusal::new(StatusCode::URI_TOO_LONG, "the target is too long"));
    }
    PathAndQuery::from_maybe_shared(octets).map_err(|_| Refusal::bad("REQUEST_URI cannot be read"))
}

fn joined(path: &Path<'_>, query: Option<&[u8]>) -> Bytes {
    let mut target = String::new();
    match path {
        Path::Raw(path) => target.extend(percent_encode(path, ESCAPED)),
        Path::Decoded(path) => target.extend(percent_encode(path, DECODED)),
    }
    if let Some(query) = query {
        target.push('?');
        target.extend(percent_encode(query, ESCAPED));
    }
    target.into()
}

/// What no client may spell a target with.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// What does not stand for itself in a path.
const DECODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// Whether there is nothing in a path to decode, merge or remove.
fn is_normal(path: &[u8]) -> bool {
    !path.contains(&b'%') && !path.windows(2).any(|pair| matches!(pair, b"//" | b"/."))
}

/// Merges slashes and removes the segments `.` and `..`, as web servers do.
fn normal(path: Vec<u8>) -> Vec<u8> {
    if !path.windows(2).any(|pair| matches!(pair, b"//" | b"/.")) && path.starts_with(b"/") {
        return path;
    }
    let mut out = Vec::with_capacity(path.len() + 1);
    let mut segments = path.split(|octet| *octet == b'/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"." | b"" if !last => {}
            b".." => {
                let parent = out.iter().rposition(|octet| *octet == b'/').unwrap_or(0);
                out.truncate(parent);
                if last {
                    out.push(b'/');
                }
            }
            segment => {
                out.push(b'/');
                out.extend_from_slice(if segment == b"." { b"" } else { segment });
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    /// Variables, one `NAME=value` a word; `%20` in a value stays as it is.
    fn said(words: &str) -> MetaVariables {
        let pairs = words.split_whitespace().map(|word| word.split_once('=').unwrap());
        std::iter::once(("REQUEST_METHOD", "GET")).chain(pairs).collect()
    }

    #[track_caller]
    fn request(gateway: &Gateway, words: &str) -> request::Parts {
        gateway.request(said(words)).unwrap_or_else(|refusal| panic!("{words}: {refusal}"))
    }

    #[track_caller]
    fn assert_refused(gateway: &Gateway, words: &str, status: u16) {
        let refusal = gateway.request(said(words)).map(|parts| parts.uri).unwrap_err();
        assert_eq!(refusal.status(), status, "{words}: {refusal}");
    }

    /// Asserts script name, whether nothing is below, and the target.
    #[track_caller]
    fn assert_split(gateway: &Gateway, words: &str, expected: (&str, bool, &str)) {
        let parts = request(gateway, words);
        let mount = parts.extensions.get::<Mount>().unwrap();
        assert_eq!(
            (mount.script_name(), mount.nothing_below(), &*parts.uri.to_string()),
            expected,
            "{words}"
        );
    }

    fn headers(parts: &request::Parts) -> Vec<(&str, &[u8])> {
        parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
    }

    #[test]
    fn every_header_variable_is_a_line_of_its_own() {
        let parts =
            request(&Gateway::new(), "HTTP_X_FORWARDED_FOR=a HTTP_COOKIE=b HTTP_X_FORWARDED_FOR=c HTTP_2=d");
        assert_eq!(
            headers(&parts),
            [("x-forwarded-for", &b"a"[..]), ("x-forwarded-for", b"c"), ("cookie", b"b"), ("2", b"d")]
        );
    }

    #[test]
    fn t146_t150_t190_what_is_never_a_header() {
        let parts = request(
            &Gateway::new(),
            "HTTP_PROXY=http://evil.example HTTP_PROXY_AUTHORIZATION=x HTTP_PROXY_CONNECTION=x HTTP_CONNECTION=x \
             HTTP_KEEP_ALIVE=x HTTP_TE=x HTTP_TRANSFER_ENCODING=chunked HTTP_UPGRADE=x HTTP_TRAILER=x HTTP_EXPECT=x \
             HTTP_CONTENT_TYPE=x HTTP_CONTENT_LENGTH=7 HTTP_AUTHORIZATION= REDIRECT_HTTP_AUTHORIZATION=x \
             CONTENT_TYPE= CONTENT_LENGTH= GATEWAY_INTERFACE=CGI/1.1 HTTPS=on",
        );
        assert_eq!(headers(&parts), []);
    }

    #[test]
    fn t147_only_capitals_digits_and_underscores_name_a_header() {
        let long = "A".repeat(300);
        let parts = request(
            &Gateway::new(),
            &format!(
                "HTTP_=x HTTP_X.Y=x HTTP_x=x HTTP_X-Y=x HTTP_\u{e9}=x HTTP_X\0=x HTTP_{long}=y HTTP__A_=z"
            ),
        );
        let names: Vec<_> = parts.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, [&long.to_ascii_lowercase(), "-a-"]);
    }

    #[test]
    fn t147_t149_a_repeated_header_is_refused_on_demand() {
        let strict = Gateway::new().duplicate_headers(DuplicateHeaders::Reject);
        assert_refused(&strict, "HTTP_X_FORWARDED_FOR=a HTTP_X_FORWARDED_FOR=a", 400);
        assert_refused(&strict, "HTTP_HOST=a HTTP_HOST=a", 400);
        assert_refused(&strict, "HTTP_AUTHORIZATION=a HTTP_AUTHORIZATION=a", 400);
        request(&strict, "HTTP_X=a HTTP_Y=a SCRIPT_NAME=/a SCRIPT_NAME=/b CONTENT_LENGTH=1 CONTENT_LENGTH=1");
    }

    #[test]
    fn t148_no_header_becomes_a_variable_and_no_variable_a_header() {
        let parts = request(
            &Gateway::new(),
            "HTTP_HTTPS=on HTTP_REMOTE_ADDR=127.0.0.1 HTTP_SCRIPT_NAME=/admin HTTP_REQUEST_URI=/admin REMOTE_ADDR=192.0.2.1 X=y",
        );
        assert_eq!(parts.extensions.get(), Some(&Scheme::Http));
        assert_eq!(parts.extensions.get(), Some(&"192.0.2.1".parse::<Peer>().unwrap()));
        assert_eq!((parts.uri.path(), parts.headers.len()), ("/", 4));
    }

    #[test]
    fn t149_differing_singletons_are_refused_and_equal_ones_count_once() {
        let gateway = Gateway::new();
        for name in ["CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_HOST", "HTTP_AUTHORIZATION"] {
            assert_refused(&gateway, &format!("{name}=5 {name}=6"), 400);
            assert_refused(&gateway, &format!("{name}= {name}=6"), 400);
            assert_eq!(request(&gateway, &format!("{name}=5 {name}=5")).headers.len(), 1, "{name}");
        }
    }

    #[test]
    fn t150_authorization_comes_by_its_own_name_or_on_demand_by_the_redirected_one() {
        let value = |gateway: &Gateway, words: &str| {
            request(gateway, words).headers.get("authorization").map(|it| it.to_str().unwrap().to_owned())
        };
        let (plain, redirect) = (Gateway::new(), Gateway::new().redirect_authorization());
        for (words, expected, on_demand) in [
            ("HTTP_AUTHORIZATION=a REDIRECT_HTTP_AUTHORIZATION=b", Some("a"), Some("a")),
            ("HTTP_AUTHORIZATION= REDIRECT_HTTP_AUTHORIZATION=b", None, Some("b")),
            ("REDIRECT_HTTP_AUTHORIZATION=b", None, Some("b")),
            ("HTTP_AUTHORIZATION= REDIRECT_HTTP_AUTHORIZATION=", None, None),
        ] {
            assert_eq!(value(&plain, words).as_deref(), expected, "{words}");
            assert_eq!(value(&redirect, words).as_deref(), on_demand, "{words}");
        }
    }

    #[test]
    fn t152_host_is_what_the_client_sent_and_never_the_name_of_the_server() {
        let parts =
            request(&Gateway::new(), "HTTP_HOST=evil.example SERVER_NAME=good.example SERVER_PORT=80");
        assert_eq!(headers(&parts), [("host", &b"evil.example"[..])]);
        let parts =
            request(&Gateway::new(), "SERVER_NAME=good.example REQUEST_URI=http://other.example:81/x");
        assert_eq!((headers(&parts), parts.uri.to_string()), (Vec::new(), "/x".to_owned()));
    }

    #[test]
    fn t153_control_characters_are_refused_in_headers_and_escaped_in_targets() {
        for octet in [&b"a\0b"[..], b"a\nb", b"a\rb", b"\x7f"] {
            for name in ["HTTP_X", "HTTP_HOST", "HTTP_AUTHORIZATION", "CONTENT_TYPE"] {
                let variables = [("REQUEST_METHOD", &b"GET"[..]), (name, octet)].into_iter().collect();
                assert_eq!(Gateway::new().request(variables).unwrap_err().status(), 400, "{name}");
            }
        }
        for (name, target) in [("REQUEST_URI", "/a%0A%00%7Fb?%0A"), ("PATH_INFO", "/a%0A%00%7Fb%3F%0A")] {
            let variables = [("REQUEST_METHOD", "GET"), (name, "/a\n\0\x7fb?\n")].into_iter().collect();
            assert_eq!(Gateway::new().request(variables).unwrap().uri, target);
        }
    }

    #[test]
    fn t156_a_query_stays_a_query() {
        for query in ["-s", "%ADd+allow_url_include%3d1", "a+b"] {
            let parts = request(
                &Gateway::new(),
                &format!("REQUEST_URI=/x?{query} PATH_INFO=/x QUERY_STRING={query}"),
            );
            assert_eq!(parts.uri.query(), Some(query));
        }
    }

    #[test]
    fn t164_of_several_variables_the_last_counts() {
        let parts = request(
            &Gateway::new(),
            "REMOTE_ADDR=192.0.2.1 REMOTE_ADDR=192.0.2.2 SCRIPT_NAME=/x SCRIPT_NAME= PATH_INFO=/y PATH_INFO=/z",
        );
        assert_eq!(parts.extensions.get(), Some(&"192.0.2.2".parse::<Peer>().unwrap()));
        assert_eq!((parts.extensions.get(), parts.uri.path()), (Some(&Mount::root()), "/z"));
        assert_eq!(parts.extensions.get::<MetaVariables>().unwrap().get_all("REMOTE_ADDR").count(), 2);
    }

    #[test]
    fn t190_methods_are_tokens_and_two_of_them_are_refused() {
        let status = |method: &str| {
            let variables = [("REQUEST_METHOD", method)].into_iter().collect();
            Gateway::new()
                .request(variables)
                .map(|parts| parts.method.to_string())
                .map_err(|it| it.status().as_u16())
        };
        for (method, expected) in [
            ("PROPFIND", Ok("PROPFIND".to_owned())),
            ("get", Ok("get".to_owned())),
            ("CONNECT", Err(501)),
            ("TRACE", Err(405)),
            ("", Err(400)),
            ("GET /x HTTP/1.1\r\nX:", Err(400)),
        ] {
            assert_eq!(status(method), expected, "{method:?}");
        }
        assert_eq!(Gateway::new().request(MetaVariables::default()).unwrap_err().status(), 400);
    }

    #[test]
    fn t159_lengths_are_digits_or_unknown() {
        for (value, method, length, header) in [
            ("7", "GET", Some(7), Some("7")),
            ("007", "POST", Some(7), Some("7")),
            ("0", "GET", Some(0), None),
            ("0", "POST", Some(0), Some("0")),
            ("0", "PUT", Some(0), Some("0")),
            ("0", "PATCH", Some(0), Some("0")),
            ("", "POST", None, None),
            ("-1", "POST", None, None),
        ] {
            let words = format!("REQUEST_METHOD={method} CONTENT_LENGTH={value}");
            assert_eq!(declared_length(&said(&words)), length, "{words}");
            let parts = request(&Gateway::new(), &words);
            let found = parts.headers.get("content-length").map(|it| it.to_str().unwrap());
            assert_eq!(found, header, "{words}");
        }
        for value in ["+7", "-7", "7,7", "0x7", "7.0", "18446744073709551616", "\u{661}"] {
            assert_refused(&Gateway::new(), &format!("CONTENT_LENGTH={value}"), 400);
        }
    }

    #[test]
    fn versions_and_schemes() {
        for (words, version, scheme) in [
            ("", Version::HTTP_11, Scheme::Http),
            ("SERVER_PROTOCOL=HTTP/1.0 HTTPS=off", Version::HTTP_10, Scheme::Http),
            ("SERVER_PROTOCOL=HTTP/1.1 HTTPS=on", Version::HTTP_11, Scheme::Https),
            ("SERVER_PROTOCOL=HTTP/2.0 HTTPS=1", Version::HTTP_2, Scheme::Https),
            ("SERVER_PROTOCOL=HTTP/2 HTTPS=", Version::HTTP_2, Scheme::Http),
            ("SERVER_PROTOCOL=HTTP/3.0 REQUEST_SCHEME=https", Version::HTTP_3, Scheme::Https),
            ("SERVER_PROTOCOL=INCLUDED REQUEST_SCHEME=http", Version::HTTP_11, Scheme::Http),
            ("SERVER_PORT=443 SERVER_PORT_SECURE=1", Version::HTTP_11, Scheme::Http),
        ] {
            let parts = request(&Gateway::new(), words);
            assert_eq!((parts.version, parts.extensions.get()), (version, Some(&scheme)), "{words}");
        }
    }

    #[test]
    fn peers() {
        for (words, peer) in [
            ("REMOTE_ADDR=192.0.2.1 REMOTE_PORT=40000", "192.0.2.1:40000"),
            ("REMOTE_ADDR=::1 REMOTE_PORT=40000", "[::1]:40000"),
            ("REMOTE_ADDR=[::ffff:192.0.2.1] REMOTE_PORT=", "192.0.2.1"),
            ("REMOTE_ADDR=fe80::1%eth0 REMOTE_PORT=70000", "fe80::1"),
            ("REMOTE_ADDR=unix: REMOTE_PORT=", "unix"),
            ("REMOTE_ADDR=unix", "unknown"),
            ("REMOTE_ADDR=localhost REMOTE_PORT=1", "unknown"),
            ("REMOTE_ADDR=192.0.2.1:80", "unknown"),
            ("REMOTE_HOST=192.0.2.1", "unknown"),
        ] {
            let found = *request(&Gateway::new(), words).extensions.get::<Peer>().unwrap();
            assert_eq!(found.to_string(), peer, "{words}");
        }
    }

    #[test]
    fn the_user_is_believed_on_demand_only() {
        let (plain, trusting) = (Gateway::new(), Gateway::new().trust_remote_user());
        let user = |gateway: &Gateway, user: &[u8]| {
            let pairs = [("REQUEST_METHOD", &b"GET"[..]), ("REMOTE_USER", user)];
            gateway.request(pairs.into_iter().collect()).unwrap().extensions.remove::<RemoteUser>()
        };
        assert_eq!(user(&plain, b"aladdin"), None);
        assert_eq!(user(&trusting, b"aladdin"), Some(RemoteUser("aladdin".into())));
        assert_eq!(user(&trusting, b""), None);
        assert_eq!(user(&trusting, b"\xff"), None);
    }

    #[test]
    fn script_name_and_path_as_sent() {
        let gateway = Gateway::new();
        for (words, expected) in [
            // The shapes, by server.
            ("SCRIPT_NAME=/app PATH_INFO=/foo REQUEST_URI=/app/foo?q", ("/app", false, "/foo?q")),
            ("SCRIPT_NAME=/app REQUEST_URI=/app?q QUERY_STRING=q", ("/app", true, "/?q")),
            ("SCRIPT_NAME=/app PATH_INFO= REQUEST_URI=/app", ("/app", true, "/")),
            ("SCRIPT_NAME=/foo PATH_INFO=/bar REQUEST_URI=/foo/bar", ("/foo", false, "/bar")),
            ("SCRIPT_NAME=/app.fcgi PATH_INFO=/a/b REQUEST_URI=/a%2Fb", ("/app.fcgi", false, "/a%2Fb")),
            ("SCRIPT_NAME=/app PATH_INFO=foo REQUEST_URI=/app/foo", ("/app", false, "/foo")),
            ("SCRIPT_NAME=/app PATH_INFO=a%20b%2Bc REQUEST_URI=/app/a%20b+c", ("/app", false, "/a%20b+c")),
            ("SCRIPT_NAME=/app PATH_INFO=a%20b REQUEST_URI=/app//a%20b", ("/app", false, "/a%20b")),
            ("PATH_INFO=/app/foo REQUEST_URI=/app/foo", ("", false, "/app/foo")),
            ("SCRIPT_NAME= PATH_INFO=/ REQUEST_URI=/", ("", false, "/")),
            ("REQUEST_URI=/a%2Fb?", ("", false, "/a%2Fb?")),
            ("REQUEST_URI=http://evil.example?q", ("", false, "/?q")),
            // Without REQUEST_URI.
            (
                "SCRIPT_NAME=/app PATH_INFO=/a%2F?\u{e9}[] QUERY_STRING=a=%2F",
                ("/app", false, "/a%252F%3F%C3%A9%5B%5D?a=%2F"),
            ),
            ("SCRIPT_NAME=app PATH_INFO=foo REQUEST_URI=", ("/app", false, "/foo")),
            ("", ("", false, "/")),
            // Spelled as the client did, where that is what the server meant.
            ("SCRIPT_NAME=/a PATH_INFO=/b/c REQUEST_URI=/a/b%2fc", ("/a", false, "/b%2fc")),
            ("SCRIPT_NAME=/a PATH_INFO=/b%2Fc REQUEST_URI=/a/b%2Fc", ("/a", false, "/b%2Fc")),
            ("SCRIPT_NAME=/a PATH_INFO=/b%2Fc REQUEST_URI=/a/b%252Fc", ("/a", false, "/b%252Fc")),
            ("SCRIPT_NAME=/a PATH_INFO=/c REQUEST_URI=/a//b/../c", ("/a", false, "/c")),
            ("SCRIPT_NAME=/a PATH_INFO=/x/c REQUEST_URI=/a/b%2Fc", ("/a", false, "/x/c")),
            ("SCRIPT_NAME=/a PATH_INFO=/b REQUEST_URI=/a%2Fb", ("/a", false, "/b")),
            ("PATH_INFO=/caf\u{e9} REQUEST_URI=/caf\u{e9}", ("", false, "/caf%C3%A9")),
            ("PATH_INFO=/100%zz REQUEST_URI=/100%zz", ("", false, "/100%zz")),
            (
                r#"PATH_INFO=/a"<>^`{|}\ REQUEST_URI=/a"<>^`{|}\?^"#,
                ("", false, "/a%22%3C%3E%5E%60%7B%7C%7D%5C?%5E"),
            ),
            // Absolute form, fragments, queries that a rewrite changed.
            ("PATH_INFO=/x/y REQUEST_URI=http://evil.example:81/x%2Fy?q#f", ("", false, "/x%2Fy?q")),
            ("PATH_INFO=/ REQUEST_URI=http://evil.example?q", ("", false, "/?q")),
            ("PATH_INFO=/ REQUEST_URI=http://evil.example", ("", false, "/")),
            ("PATH_INFO=/x REQUEST_URI=/x? QUERY_STRING=", ("", false, "/x?")),
            ("PATH_INFO=/x REQUEST_URI=/x?a QUERY_STRING=b#c", ("", false, "/x?b%23c")),
            ("PATH_INFO=/x REQUEST_URI=/x?a QUERY_STRING=", ("", false, "/x")),
            ("PATH_INFO=/x REQUEST_URI=/x?a?b", ("", false, "/x?a?b")),
            ("REQUEST_METHOD=OPTIONS REQUEST_URI=*", ("", false, "*")),
            ("REQUEST_METHOD=OPTIONS REQUEST_URI=* SCRIPT_NAME=* QUERY_STRING=x", ("", false, "*")),
            ("REQUEST_METHOD=OPTIONS REQUEST_URI=* SCRIPT_NAME=/app", ("/app", false, "*")),
        ] {
            assert_split(&gateway, words, expected);
        }
        for target in ["*", "x", "?x", "evil.example:80", "1://x", "://x/b", "//"] {
            let words = format!("SCRIPT_NAME=/a PATH_INFO=/b REQUEST_URI={target}");
            match target {
                "//" => assert_split(&gateway, &words, ("/a", false, "/b")),
                _ => assert_refused(&gateway, &words, 400),
            }
        }
    }

    #[test]
    fn t102_t155_a_split_inside_a_segment_is_no_path_below_the_mount() {
        let gateway = Gateway::new();
        assert_refused(&gateway, "SCRIPT_NAME=/app PATH_INFO=admin REQUEST_URI=/appadmin", 404);
        assert_refused(&gateway, "SCRIPT_NAME=/app PATH_INFO=z/a REQUEST_URI=/app%7a//a", 404);
        assert_refused(&gateway, "SCRIPT_NAME=/app PATH_INFO=.fcgi REQUEST_URI=/app.fcgi", 404);
    }

    #[test]
    fn a_path_below_a_declared_mount() {
        let gateway = Gateway::new().mount("/app/v1".parse().unwrap());
        for (words, expected) in [
            ("REQUEST_URI=/app/v1/foo?q", (false, "/foo?q")),
            ("REQUEST_URI=/app/v1/a%2Fb%20", (false, "/a%2Fb%20")),
            ("REQUEST_URI=/app/v1", (true, "/")),
            ("REQUEST_URI=/app/v1?", (true, "/?")),
            ("REQUEST_URI=/app/v1/", (false, "/")),
            ("REQUEST_URI=/%61pp//./x/../v1/foo", (false, "/foo")),
            ("REQUEST_URI=/app%2Fv1/a%2Fb", (false, "/a%2Fb")),
            ("REQUEST_URI=/app/v1%2Fa/b", (false, "/a/b")),
            ("REQUEST_URI=/app/v1/a//b/../c%2520", (false, "/a/c%2520")),
            ("REQUEST_URI=/app/v1/a/..", (false, "/")),
            ("REQUEST_URI=/app/v1/a/b/.", (false, "/a/b/")),
            ("REQUEST_URI=https://evil.example/app/v1/foo", (false, "/foo")),
            ("SCRIPT_NAME=/x PATH_INFO=/admin REQUEST_URI=/app/v1/foo", (false, "/foo")),
            ("SCRIPT_NAME=/app PATH_INFO=/v1/a%2F", (false, "/a%252F")),
            ("SCRIPT_NAME=/app/v1 PATH_INFO=foo", (false, "/foo")),
            ("SCRIPT_NAME=/app/v1", (true, "/")),
            ("REQUEST_METHOD=OPTIONS REQUEST_URI=*", (false, "*")),
        ] {
            assert_split(&gateway, words, ("/app/v1", expected.0, expected.1));
        }
        for words in
            ["REQUEST_URI=/", "REQUEST_URI=/app/v12", "REQUEST_URI=/app/v1/../../etc", "SCRIPT_NAME=/app", ""]
        {
            assert_refused(&gateway, words, 404);
        }
        let utf8 = Gateway::new().mount("/caf%C3%A9".parse().unwrap());
        for path in ["/caf\u{e9}/x", "/caf%c3%a9/x"] {
            assert_split(&utf8, &format!("REQUEST_URI={path}"), ("/caf%C3%A9", false, "/x"));
        }
        let root = Gateway::new().mount(Prefix::root());
        assert_split(&root, "REQUEST_URI=/../a//b%2Fc%20d SCRIPT_NAME=/b", ("", false, "/a/b/c%20d"));
        assert_split(&root, "REQUEST_URI=/a%2Fb SCRIPT_NAME=/b", ("", false, "/a%2Fb"));
        assert_split(&root, "", ("", false, "/"));
        assert_split(&root, "REQUEST_URI=http://evil.example", ("", false, "/"));
    }

    #[test]
    fn t105_a_path_that_the_web_server_cleaned_is_cleaned() {
        // nginx with nothing but `scgi_params` says no path; its rules saw the cleaned one.
        for (words, path) in [
            ("REQUEST_URI=/private/../public?q", "/public?q"),
            ("REQUEST_URI=//private/./x/..%2F../a%2Fb", "/a%2Fb"),
            ("REQUEST_URI=/..", "/"),
        ] {
            assert_split(&Gateway::new(), words, ("", false, path));
        }
    }

    #[test]
    fn t105_a_path_that_the_web_server_did_not_clean_is_left_alone() {
        // HAProxy: a rule for /private did not see any of these.
        let root = Gateway::new().mount(Prefix::root());
        for (uri, path) in [
            ("/x/../private", "PATH_INFO=/x/../private"),
            ("//private", "PATH_INFO=//private"),
            ("/./private", "SCRIPT_NAME=/./private"),
            ("/x/..%2Fprivate", "PATH_INFO=/x/../private"),
        ] {
            assert_split(&root, &format!("{path} REQUEST_URI={uri}"), ("", false, uri));
        }
        assert_split(&root, "SCRIPT_NAME= PATH_INFO=/x/../private", ("", false, "/x/../private"));
        let app = Gateway::new().mount("/app".parse().unwrap());
        let words = "SCRIPT_NAME=/app PATH_INFO=/x//../y REQUEST_URI=/app/x//../y";
        assert_split(&app, words, ("/app", false, "/x//../y"));
        // T103: no double slash is exposed, and `/app//private` does not become `/private`.
        for uri in ["/app/../etc", "//app/x", "/x/../app", "/app//private"] {
            assert_refused(&app, &format!("PATH_INFO={uri} REQUEST_URI={uri}"), 404);
        }
    }

    #[test]
    fn a_fix_that_joins_again_finds_the_spelling_of_the_client() {
        for (words, expected) in [
            ("SCRIPT_NAME=/a/b/c REQUEST_URI=/a/b%2Fc", "/a/b%2Fc"),
            ("SCRIPT_NAME=/a/b PATH_INFO=/c REQUEST_URI=/a%2Fb/c", "/a%2Fb/c"),
            ("SCRIPT_NAME=/a PATH_INFO=/c REQUEST_URI=/a/x/../c", "/a/c"),
            ("SCRIPT_NAME=/a[b] REQUEST_URI=/a[b]", "/a[b]"),
        ] {
            let parts = request(&Gateway::new(), words);
            let mount = parts.extensions.get::<Mount>().unwrap();
            let (_, path) = mount.split_at(parts.uri.path(), &Prefix::root()).unwrap();
            assert_eq!(path, expected, "{words}");
        }
    }

    #[test]
    fn a_fix_that_splits_below_the_script_name_finds_the_root_in_any_spelling() {
        for words in [
            "PATH_INFO=/app/a REQUEST_URI=/%61pp/a",
            "SCRIPT_NAME= PATH_INFO=/app/a REQUEST_URI=/app/a",
            "SCRIPT_NAME=/ PATH_INFO=/app/a REQUEST_URI=//%61pp/a",
        ] {
            let parts = request(&Gateway::new(), words);
            let mount = parts.extensions.get::<Mount>().unwrap();
            let (_, path) = mount.split_at(parts.uri.path(), &"/app".parse().unwrap()).unwrap();
            assert_eq!(path, "/a", "{words}");
        }
    }

    #[test]
    fn a_target_that_is_too_long_is_refused() {
        let long = "a".repeat(usize::from(u16::MAX));
        assert_refused(&Gateway::new(), &format!("PATH_INFO=/x REQUEST_URI=/x?{long}"), 414);
    }

    #[test]
    fn more_headers_than_a_map_holds_are_refused() {
        let names = (0..40_000).map(|it| format!("HTTP_X{it}"));
        let pairs = names.map(|name| (name, "x")).chain([("REQUEST_METHOD".to_owned(), "GET")]);
        assert_eq!(Gateway::new().request(pairs.collect()).unwrap_err().status(), 431);
    }

    #[test]
    fn values_and_targets_share_the_octets_that_came_in() {
        let parts = request(&Gateway::new(), "PATH_INFO=/foo REQUEST_URI=/app/foo?q HTTP_X=value");
        let variables = parts.extensions.get::<MetaVariables>().unwrap();
        let place = |octets: &[u8]| octets.as_ptr() as usize;
        assert_eq!(place(parts.headers["x"].as_bytes()), place(variables.get("HTTP_X").unwrap()));
        let target = parts.uri.path_and_query().unwrap().as_str();
        assert_eq!(place(target.as_bytes()), place(variables.get("REQUEST_URI").unwrap()) + 4);
    }

    /// Octets of which paths are made, good and bad.
    fn path() -> impl Strategy<Value = Vec<u8>> {
        let piece = select(vec![
            &b"/"[..],
            b"//",
            b"%2F",
            b"%2f",
            b"%25",
            b"%",
            b".",
            b"..",
            b"a",
            b"b",
            b"\xff",
            b"\n",
            b"?",
            b"#",
            b"*",
        ]);
        vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        /// What is routed means what the web server said, in whatever spelling; nothing panics.
        #[test]
        fn a_path_means_what_the_web_server_said(name in path(), info in path(), uri in path(), query in path()) {
            let pairs = [
                ("REQUEST_METHOD", &b"GET"[..]),
                ("SCRIPT_NAME", &name),
                ("PATH_INFO", &info),
                ("REQUEST_URI", &uri),
                ("QUERY_STRING", &query),
            ];
            let variables: MetaVariables = pairs.into_iter().collect();
            for mount in ["", "/a", "/a/b"] {
                if let Ok(parts) = Gateway::new().mount(mount.parse().unwrap()).request(variables.clone()) {
                    let path: Vec<u8> = percent_decode(parts.uri.path().as_bytes()).collect();
                    prop_assert!(path.starts_with(b"/"));
                    let is_clean = |said: &[u8]| {
                        let said = [b"/", said.strip_prefix(b"/").unwrap_or(said)].concat();
                        !said.windows(2).any(|it| matches!(it, b"//" | b"/."))
                    };
                    if is_clean(&name) && is_clean(&info) {
                        prop_assert_eq!(normal(path.clone()), path, "a declared mount cleans the path");
                    }
                }
            }
            let Ok(parts) = Gateway::new().request(variables) else { return Ok(()) };
            let path = parts.uri.path();
            prop_assert!(path.starts_with('/') && parts.uri.to_string().bytes().all(|it| it.is_ascii_graphic()));
            if info.starts_with(b"/") {
                let decoded: Vec<u8> = percent_decode(path.as_bytes()).collect();
                let slash_left_alone = path.replace("%2F", "%252F").replace("%2f", "%252f");
                let left_alone: Vec<u8> = percent_decode(slash_left_alone.as_bytes()).collect();
                prop_assert!(decoded == info || left_alone == info, "{path}");
            }
            let mount = parts.extensions.get::<Mount>().unwrap();
            let (again, split) = mount.split_at(path, &Prefix::root()).unwrap();
            prop_assert_eq!(again.split_at(&split, &Prefix::root()), Some((again, split)), "twice is once");
        }
    }
}
