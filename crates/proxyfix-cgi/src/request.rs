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
        let mut headers = HeaderMap::with_capacity((variables.len() / 2).min(64));
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
                report(Report::Dropped, &"a header that no request has: Proxy or Proxy-Authorization");
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
            name => match header_name(name) {
                Some(name) => headers.try_append(name, header_value(variables, value)?).map_err(|_| {
                    Refusal::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "there are too many headers")
                })?,
                None => {
                    let name = &name[..name.len().min(64)];
                    report(
                        Report::Dropped,
                        &format_args!("a header of no name: HTTP_{}", name.escape_ascii()),
                    );
                    false
                }
            },
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
                let authority =
                    rest.strip_prefix(b"://").filter(|_| scheme.iter().all(u8::is_ascii_alphabetic));
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
        (None, None) => Path::Raw(requested.map_or(b"/", |it| it.path)),
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
        None | Some([] | b"*") => return Mount::root(),
        Some(name @ [b'/', ..]) => Mount::from_script_name(name),
        Some(name) => Mount::from_script_name(&[b"/", name].concat()),
    };
    let mount = mount.unwrap_or_default();
    let (Some(requested), Path::Raw(path) | Path::Decoded(Cow::Borrowed(path))) = (requested, path) else {
        return mount;
    };
    // Only what the script name does not spell by itself has to be remembered.
    match requested.path.strip_suffix(*path) {
        Some(name) if name == mount.script_name().as_bytes() => mount,
        _ if requested.path == mount.script_name().as_bytes() => mount,
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
        Some(requested) => normal(percent_decode(requested.path).collect()).into(),
        None => {
            let (name, path) = (said.script_name.unwrap_or_default(), said.path_info.unwrap_or_default());
            let slash: &[u8] = if path.is_empty() || path.starts_with(b"/") { b"" } else { b"/" };
            normal([name, slash, path].concat()).into()
        }
    };
    let mut rest = &whole[..];
    for octet in percent_decode(mount.as_str().as_bytes()) {
        rest = rest.strip_prefix(&[octet]).ok_or(ELSEWHERE)?;
    }
    let (nothing_below, path) = match rest {
        [] => (true, Path::Raw(b"/")),
        [b'/', ..] => {
            let spelled = requested.and_then(|it| Mount::spelling(it.path, rest)).map(Path::Raw);
            (false, spelled.unwrap_or_else(|| Path::Decoded(rest.to_vec().into())))
        }
        _ => return Err(ELSEWHERE),
    };
    Ok((Mount::from(mount.clone()).with_nothing_below(nothing_below), path))
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
