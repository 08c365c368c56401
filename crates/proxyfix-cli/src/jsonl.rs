//! A stream of cases in, a stream of decisions out: one JSON object a line, in order.
//!
//! Memory is bounded: by the longest line that is read, and by the number of policies remembered.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::rc::Rc;

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Uri};
use proxyfix::{Config, Mount, Peer};
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::{Deserialize as DeriveDeserialize, Serialize};
use serde_json::value::RawValue;

use crate::decision::{Decision, Id};
use crate::stack::Stack;

/// Bytes of one case; longer lines are answered with an error.
const LONGEST_LINE: u64 = 1 << 20;
/// Policies that are remembered, so that they are not built for every line.
const MOST_STACKS: usize = 256;
/// Bytes of a policy and its fixes that are remembered.
const LONGEST_REMEMBERED: usize = 1 << 14;

/// Reads cases from standard input until it ends.
pub(crate) fn run() -> Result<(), String> {
    let input = BufReader::with_capacity(1 << 16, io::stdin().lock());
    let output = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    match stream(input, output) {
        Ok(()) => Ok(()),
        // Whoever reads has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(format!("the stream broke: {error}")),
    }
}

/// A case. Keys that are not named here are ignored, so that a case may carry notes of its own.
#[derive(DeriveDeserialize)]
struct Case<'a> {
    #[serde(borrow, default)]
    id: Id<'a>,
    #[serde(borrow, default)]
    policy: Option<&'a RawValue>,
    #[serde(borrow, default)]
    fixes: Option<&'a RawValue>,
    #[serde(borrow, default)]
    peer: Option<Text<'a>>,
    #[serde(borrow)]
    request: RequestIn<'a>,
    #[serde(borrow, default)]
    mount: Option<Text<'a>>,
}

#[derive(DeriveDeserialize)]
struct RequestIn<'a> {
    #[serde(borrow, default)]
    method: Option<Text<'a>>,
    #[serde(borrow, default)]
    target: Option<Text<'a>>,
    #[serde(borrow, default)]
    headers: Vec<(Text<'a>, Text<'a>)>,
}

/// The id of a line that is no case.
#[derive(DeriveDeserialize)]
struct Identified<'a> {
    #[serde(borrow, default)]
    id: Id<'a>,
}

#[derive(Serialize)]
struct Failure<'a> {
    id: Id<'a>,
    error: String,
}

/// Text that is borrowed from the line where it has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

impl Text<'_> {
    /// The octets that the text stands for, as ISO-8859-1.
    fn octets(&self, what: &str) -> Result<Cow<'_, [u8]>, String> {
        if self.0.is_ascii() {
            return Ok(Cow::Borrowed(self.0.as_bytes()));
        }
        let octets: Result<Vec<u8>, _> = self.0.chars().map(u8::try_from).collect();
        octets.map(Cow::Owned).map_err(|_| {
            format!(
                "{what}: \"{}\" has characters beyond U+00FF; octets are written as ISO-8859-1",
                excerpt(&self.0)
            )
        })
    }
}

fn stream(mut input: impl BufRead + Buffered, mut output: impl Write) -> io::Result<()> {
    let mut stacks = Stacks::default();
    let (mut line, mut answer) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        let read = input.by_ref().take(LONGEST_LINE + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            return output.flush();
        }
        answer.clear();
        let whole = line.last() == Some(&b'\n');
        if whole || line.len() as u64 <= LONGEST_LINE {
            answer_line(&line, &mut stacks, &mut answer)?;
        } else {
            skip_line(&mut input)?;
            let error = format!("the line is longer than {LONGEST_LINE} bytes");
            serde_json::to_writer(&mut answer, &Failure { id: Id::default(), error })?;
        }
        answer.push(b'\n');
        output.write_all(&answer)?;
        // Whoever asks line by line has an answer to each.
        if !input.has_more() {
            output.flush()?;
        }
    }
}

/// Whether more input is at hand without waiting for it.
trait Buffered {
    fn has_more(&self) -> bool;
}

impl<R: Read> Buffered for BufReader<R> {
    fn has_more(&self) -> bool {
        !self.buffer().is_empty()
    }
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let newline = buffer.iter().position(|byte| *byte == b'\n');
        let (used, done) = match newline {
            Some(newline) => (newline + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        input.consume(used);
        if done {
            return Ok(());
        }
    }
}

fn answer_line(line: &[u8], stacks: &mut Stacks, answer: &mut Vec<u8>) -> io::Result<()> {
    let (id, error) = match serde_json::from_slice::<Case<'_>>(line) {
        Ok(case) => match decide(&case, stacks, answer) {
            Ok(()) => return Ok(()),
            Err(error) => (case.id, error),
        },
        Err(error) => {
            let id = serde_json::from_slice::<Identified<'_>>(line).map(|line| line.id).unwrap_or_default();
            (id, format!("the line is not a case: {error}"))
        }
    };
    answer.clear();
    serde_json::to_writer(answer, &Failure { id, error }).map_err(io::Error::from)
}

fn decide(case: &Case<'_>, stacks: &mut Stacks, answer: &mut Vec<u8>) -> Result<(), String> {
    let stack = stacks.get(case.policy, case.fixes)?;
    let (mut parts, order) = head(case)?;
    stack.apply(&mut parts);
    let origin = stack.origin(&parts);
    let status = stack.refuses(&parts, &origin);
    let mut decision = Decision::new(&parts, &origin, status, &order);
    decision.id = Some(case.id);
    serde_json::to_writer(answer, &decision).map_err(|error| error.to_string())
}

/// The head of the request, and the names of its headers in order, each once.
fn head(case: &Case<'_>) -> Result<(Parts, Vec<HeaderName>), String> {
    let (mut parts, ()) = http::Request::new(()).into_parts();
    if let Some(method) = &case.request.method {
        parts.method = Method::from_bytes(method.0.as_bytes())
            .map_err(|_| format!("request.method: \"{}\" is not a method", excerpt(&method.0)))?;
    }
    let peer = match &case.peer {
        Some(Text(peer)) => peer.parse().map_err(|error| format!("peer: {error}"))?,
        None => Peer::unknown(),
    };
    parts.extensions.insert(peer);
    let target = match &case.request.target {
        Some(target) => target.octets("request.target")?,
        None => Cow::Borrowed(&b"/"[..]),
    };
    // Beside a mount, a target without a path is an absent PATH_INFO.
    let nothing_below = case.mount.is_some() && matches!(&*target, [] | [b'?', ..]);
    let path = if nothing_below { Cow::Owned([b"/", &*target].concat()) } else { target };
    parts.uri = Uri::try_from(&*path).map_err(|error| {
        format!("request.target: \"{}\": {error}", excerpt(&String::from_utf8_lossy(&path)))
    })?;
    if let Some(mount) = &case.mount {
        let mount =
            Mount::from_script_name(&mount.octets("mount")?).map_err(|error| format!("mount: {error}"))?;
        parts.extensions.insert(mount.with_nothing_below(nothing_below));
    }
    let mut order = Vec::with_capacity(case.request.headers.len());
    for (name, value) in &case.request.headers {
        let header = HeaderName::from_bytes(name.0.as_bytes())
            .map_err(|_| format!("request.headers: \"{}\" is not a header name", excerpt(&name.0)))?;
        // White space around a field value is no part of it (RFC 9112 section 5).
        let octets = value.octets("request.headers")?;
        let value = HeaderValue::from_bytes(trim(&octets)).map_err(|_| {
            format!("request.headers: the value of \"{}\" holds control characters", excerpt(&name.0))
        })?;
        if !parts.headers.contains_key(&header) {
            order.push(header.clone());
        }
        parts.headers.try_append(header, value).map_err(|_| "request.headers: too many headers")?;
    }
    Ok((parts, order))
}

/// As much of a refused text as an error repeats.
fn excerpt(text: &str) -> String {
    let short: String = text.chars().take(128).collect();
    let more = if short.len() < text.len() { "..." } else { "" };
    format!("{}{more}", short.escape_default())
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// The stacks of the policies seen, by their JSON text.
#[derive(Default)]
struct Stacks {
    known: HashMap<(String, String), Rc<Stack>>,
    last: Option<(String, String, Rc<Stack>)>,
}

impl Stacks {
    fn get(&mut self, policy: Option<&RawValue>, fixes: Option<&RawValue>) -> Result<Rc<Stack>, String> {
        let policy = policy.map_or("", RawValue::get);
        let fixes = fixes.map_or("", RawValue::get);
        if let Some((last_policy, last_fixes, stack)) = &self.last {
            if last_policy == policy && last_fixes == fixes {
                return Ok(Rc::clone(stack));
            }
        }
        if policy.len() + fixes.len() > LONGEST_REMEMBERED {
            return build(policy, fixes).map(Rc::new);
        }
        let key = (policy.to_owned(), fixes.to_owned());
        let stack = if let Some(stack) = self.known.get(&key) {
            Rc::clone(stack)
        } else {
            let stack = Rc::new(build(policy, fixes)?);
            if self.known.len() == MOST_STACKS {
                self.known.clear();
            }
            self.known.insert(key.clone(), Rc::clone(&stack));
            stack
        };
        self.last = Some((key.0, key.1, Rc::clone(&stack)));
        Ok(stack)
    }
}

/// The policy is a configuration; whoever writes the stream reads no files and variables with it.
fn build(policy: &str, fixes: &str) -> Result<Stack, String> {
    let read = |text: &str| match text {
        "" | "null" => Ok(Config::default()),
        text => Config::from_json(text),
    };
    let policy = read(policy).map_err(|error| format!("policy: {error}"))?;
    if let Some(key) = policy.looks_outside() {
        return Err(format!("policy: {key}: a stream names no files and no variables"));
    }
    let fixes = match fixes {
        "" | "null" => Config::default(),
        text => read(&format!("{{\"fixes\":{text}}}")).map_err(|error| error.to_string())?,
    };
    Stack::build(&policy.overlay(fixes)).map_err(|error| error.to_string())
}
