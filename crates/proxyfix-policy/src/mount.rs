//! Where the application hangs.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::fmt::Write as _;
use core::hash::{Hash, Hasher};
use core::str::FromStr;

use crate::{Error, Prefix};

/// Where the application hangs on its host: the external prefix, CGI's `SCRIPT_NAME`.
///
/// The path below the mount is the request's own path; there is no second copy of it here. One more
/// thing is remembered: whether the request named the mount itself with nothing below it (CGI: no
/// `PATH_INFO`). That routes as `/` but joins as nothing:
///
/// | script name | path info | mount | routed path | external path |
/// | --- | --- | --- | --- | --- |
/// | `/foo` | `/bar` | `/foo` | `/bar` | `/foo/bar` |
/// | `/foo` | `/` | `/foo` | `/` | `/foo/` |
/// | `/foo` | nothing | `/foo` | `/` | `/foo` |
/// | nothing | `/bar` | the root | `/bar` | `/bar` |
///
/// A gateway may say a script name that no application could be mounted at, because its server split
/// the path in the wrong place (`/a b`, `/../x`). It is kept, so that a fix can join it again
/// ([`split_at`](Self::split_at)), but it is not a prefix: [`prefix`](Self::prefix) is empty then.
///
/// ```
/// use proxyfix_policy::Mount;
///
/// let mount: Mount = "/foo".parse()?;
/// assert_eq!(mount.prefix().as_str(), "/foo");
/// assert_eq!(mount.join("/bar"), "/foo/bar");
/// assert_eq!(mount.with_nothing_below(true).join("/"), "/foo");
/// # Ok::<(), proxyfix_policy::Error>(())
/// ```
///
/// Two mounts are equal when the application sees the same: prefix, and whether anything is below.
#[derive(Clone, Debug, Default)]
pub struct Mount {
    prefix: Prefix,
    /// What the gateway said, where that is not the text of the prefix.
    script_name: Option<String>,
    nothing_below: bool,
    /// The prefix is a proxy's word; it does not replace what the gateway said.
    forwarded: bool,
    /// Where the path was split again: the same split happens once.
    split: Option<Prefix>,
    /// What the script name was replaced by: the same replacement happens once.
    stripped: Option<Prefix>,
    /// The path as the client spelled it, where script name and path do not spell it so.
    request_path: Option<String>,
}

impl PartialEq for Mount {
    fn eq(&self, other: &Self) -> bool {
        (&self.prefix, self.nothing_below) == (&other.prefix, other.nothing_below)
    }
}

impl Eq for Mount {}

impl Hash for Mount {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.prefix, self.nothing_below).hash(state);
    }
}

impl Mount {
    /// The root of the host.
    pub fn root() -> Self {
        Self::default()
    }

    /// What a gateway said: the octets of `SCRIPT_NAME`, percent-decoded as CGI has them
    /// (RFC 3875 section 4.1.13). Empty, or beginning with `/`.
    ///
    /// Octets that cannot stand in the path of a URL are escaped, so that the name can be joined
    /// with the path of the request.
    pub fn from_script_name(octets: &[u8]) -> Result<Self, Error> {
        if !matches!(octets, [] | [b'/', ..]) {
            return Err(Error::value(
                "a script name",
                octets,
                "it has to be empty or begin with \"/\" (RFC 3875 section 4.1.13)",
            ));
        }
        let mut path = String::with_capacity(octets.len());
        for byte in octets {
            if is_plain(*byte) {
                path.push(char::from(*byte));
            } else {
                let _ = write!(path, "%{byte:02X}");
            }
        }
        let prefix = Prefix::from_bytes(path.as_bytes()).unwrap_or_default();
        let script_name = (path != prefix.as_str()).then_some(path);
        Ok(Self { prefix, script_name, ..Self::default() })
    }

    /// The external prefix, validated: the root where the script name is not one.
    pub fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// The script name as a URL path, validated or not. For joining; not for the application.
    pub fn script_name(&self) -> &str {
        self.script_name.as_deref().unwrap_or(self.prefix.as_str())
    }

    /// Whether the request named the mount itself, with nothing below it.
    pub fn nothing_below(&self) -> bool {
        self.nothing_below
    }

    /// States whether the request named the mount itself, with nothing below it (no `PATH_INFO`).
    #[must_use]
    pub fn with_nothing_below(self, nothing_below: bool) -> Self {
        Self { nothing_below, ..self }
    }

    /// Remembers the path of the request as the client spelled it, a URL path. CGI decodes the script
    /// name and so loses `%2F`; a [split](Self::split_at) that moves a part of it into the path takes
    /// this spelling, where it decodes to the same.
    ///
    /// What is no URL path is not remembered.
    ///
    /// ```
    /// use proxyfix_policy::{Mount, Prefix};
    ///
    /// // GET /docs%2Fa/b, split by a server that decodes first.
    /// let mount = Mount::from_script_name(b"/docs/a")?.with_request_path("/docs%2Fa/b");
    /// let (mount, path) = mount.split_at("/b", &Prefix::root()).unwrap();
    /// assert_eq!((mount.prefix().as_str(), path.as_str()), ("", "/docs%2Fa/b"));
    /// # Ok::<(), proxyfix_policy::Error>(())
    /// ```
    #[must_use]
    pub fn with_request_path(self, path: &str) -> Self {
        let is_path =
            path.starts_with('/') && path.bytes().all(|byte| is_plain(byte) || b"%[]".contains(&byte));
        Self { request_path: is_path.then(|| path.to_owned()), ..self }
    }

    /// The external path of `path`, a path as the application sees it.
    ///
    /// The path is taken as it is, in its encoded form. Where the request named the mount itself, `/`
    /// joins as nothing.
    pub fn join(&self, path: &str) -> String {
        let below = if self.nothing_below && path == "/" { "" } else { path };
        format!("{}{below}", self.prefix)
    }

    /// Joins script name and `path` and splits the result again at `root`, on a segment boundary.
    ///
    /// This is what repairs a server that split in the wrong place. `None` where the joined path
    /// does not lie below `root`. A leading run of slashes that the split exposes becomes one. Where the
    /// [request's own spelling](Self::with_request_path) is known, the new path has it, and the root is
    /// found in it, too, whatever escapes it is spelled with; otherwise no escape is undone.
    ///
    /// | script name | path | root | new mount | new path |
    /// | --- | --- | --- | --- | --- |
    /// | `/foo` | `/bar` | the root | the root | `/foo/bar` |
    /// | `/foo` | nothing | the root | the root | `/foo` |
    /// | `/app/foo` | nothing | `/app` | `/app` | `/foo` |
    /// | `/application` | `/foo` | `/app` | – | – |
    pub fn split_at(&self, path: &str, root: &Prefix) -> Option<(Self, String)> {
        let joined = if self.nothing_below && path == "/" {
            self.script_name().to_owned()
        } else {
            let script_name = self.script_name();
            format!("{}{path}", script_name.strip_suffix('/').unwrap_or(script_name))
        };
        let rest = self.below(&joined, root)?;
        let path = if rest == path && root.as_str() == self.script_name() {
            path.to_owned()
        } else {
            let path = format!("/{}", rest.trim_start_matches('/'));
            self.as_requested(&path).map(ToOwned::to_owned).unwrap_or(path)
        };
        let mount = Self {
            prefix: if self.forwarded { self.prefix.clone() } else { root.clone() },
            script_name: self.forwarded.then(|| root.as_str().to_owned()),
            nothing_below: rest.is_empty() && !root.is_root(),
            forwarded: self.forwarded,
            split: Some(root.clone()),
            stripped: self.stripped.clone(),
            request_path: self.request_path.clone(),
        };
        Some((mount, path))
    }

    /// What follows `root` in `path`, on a segment boundary. Where the client spelled the path and the web
    /// server decoded it, the octets count that it stands for.
    fn below<'a>(&self, path: &'a str, root: &Prefix) -> Option<&'a str> {
        let rest = path.strip_prefix(root.as_str()).or_else(|| {
            self.request_path.as_ref()?;
            let (mut octets, mut length) = (decoded(path.as_bytes(), false), 0);
            for (_, octet) in decoded(root.as_str().as_bytes(), false) {
                length += octets.next().filter(|(_, it)| *it == octet)?.0;
            }
            path.get(length..)
        })?;
        matches!(rest.as_bytes(), [] | [b'/', ..]).then_some(rest)
    }

    /// How the request spells `path`, where it is known and names no other host.
    fn as_requested(&self, path: &str) -> Option<&str> {
        let octets: Vec<u8> = decoded(path.as_bytes(), false).map(|(_, octet)| octet).collect();
        let end = Self::spelling(self.request_path.as_ref()?.as_bytes(), &octets)?;
        core::str::from_utf8(end).ok().filter(|end| !end.starts_with("//"))
    }

    /// The end of `request_path`, a path as the client spelled it, that is spelled from a raw `/` on and
    /// decodes to exactly `path`; with `%2F` left alone, where a server does so. For the gateways.
    #[doc(hidden)]
    pub fn spelling<'a>(request_path: &'a [u8], path: &[u8]) -> Option<&'a [u8]> {
        if request_path.ends_with(path) && path.first() == Some(&b'/') && !path.contains(&b'%') {
            return Some(&request_path[request_path.len() - path.len()..]);
        }
        [false, true].into_iter().find_map(|keep_slash| {
            let mut before = decoded(request_path, keep_slash).count().checked_sub(path.len())?;
            let mut start = 0;
            for (length, _) in decoded(request_path, keep_slash) {
                if before == 0 {
                    break;
                }
                before -= 1;
                start += length;
            }
            let end = &request_path[start..];
            let same = decoded(end, keep_slash).map(|(_, octet)| octet).eq(path.iter().copied());
            (end.first() == Some(&b'/') && same).then_some(end)
        })
    }

    /// Whether the path was [split](Self::split_at) at this root already. For the layers.
    #[doc(hidden)]
    pub fn is_split_at(&self, root: &Prefix) -> bool {
        self.split.as_ref() == Some(root)
    }

    /// Remembers that a split at this root was tried and did not fit, so that what later fixes change
    /// does not make it fit. For the layers.
    #[doc(hidden)]
    pub fn set_tried(&mut self, root: &Prefix) {
        self.split = Some(root.clone());
    }

    /// Replaces the script name, whatever it was, by `prefix`: once, a second time changes nothing.
    /// For the layers.
    #[doc(hidden)]
    pub fn strip_to(&mut self, prefix: &Prefix) {
        if self.stripped.as_ref() != Some(prefix) {
            *self = Self {
                nothing_below: self.nothing_below && !prefix.is_root(),
                split: self.split.take(),
                stripped: Some(prefix.clone()),
                request_path: self.request_path.take(),
                ..prefix.clone().into()
            };
        }
    }

    /// Publishes the prefix that a proxy says it removed. What a gateway said of the script name is
    /// kept, for the fix that joins it with the path. For the layers.
    #[doc(hidden)]
    pub fn set_forwarded(&mut self, prefix: Prefix) {
        let script_name = if self.forwarded { self.script_name.take() } else { None };
        self.script_name = Some(script_name.unwrap_or_else(|| self.script_name().to_owned()));
        self.prefix = prefix;
        self.forwarded = true;
        // What a proxy states is one more thing to strip.
        self.stripped = None;
    }
}

/// Whether the octet stands for itself in the path of a URL.
fn is_plain(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&octet)
}

/// The octets that a path stands for, each with the length of its spelling; `%2F` as it is spelled on
/// request. What is no escape stands for itself.
fn decoded(path: &[u8], keep_slash: bool) -> impl Iterator<Item = (usize, u8)> {
    let mut rest = path;
    core::iter::from_fn(move || {
        let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        let escaped = match rest {
            [b'%', high, low, ..] => hex(*high).zip(hex(*low)).map(|(high, low)| high * 16 + low),
            _ => None,
        };
        let (length, octet) = match escaped.filter(|octet| !(keep_slash && *octet == b'/')) {
            Some(octet) => (3, octet),
            None => (1, *rest.first()?),
        };
        rest = &rest[length..];
        Some((length, octet))
    })
}

impl From<Prefix> for Mount {
    fn from(prefix: Prefix) -> Self {
        Self { prefix, ..Self::default() }
    }
}

impl FromStr for Mount {
    type Err = Error;

    /// Reads a mount that somebody configured: the grammar of [`Prefix`], nothing looser.
    fn from_str(text: &str) -> Result<Self, Error> {
        text.parse::<Prefix>().map(Self::from)
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.prefix.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Path info `None` is an absent one.
    #[track_caller]
    fn assert_split(script_name: &str, path: Option<&str>, root: &str, expected: Option<(&str, &str)>) {
        let mount =
            Mount::from_script_name(script_name.as_bytes()).unwrap().with_nothing_below(path.is_none());
        let split = mount.split_at(path.unwrap_or("/"), &root.parse().unwrap());
        let split = split.as_ref().map(|(mount, path)| (mount.script_name(), path.as_str()));
        assert_eq!(split, expected, "{script_name} + {path:?} at {root:?}");
        if let Some((again, path)) = mount.split_at(path.unwrap_or("/"), &root.parse().unwrap()) {
            let twice = again.split_at(&path, &root.parse().unwrap());
            assert_eq!(twice, Some((again, path)), "splitting twice is splitting once");
        }
    }

    #[test]
    fn a_wrong_split_is_repaired() {
        assert_split("/foo", Some("/bar"), "", Some(("", "/foo/bar")));
        assert_split("/foo", None, "", Some(("", "/foo")));
        assert_split("/foo/bar", None, "", Some(("", "/foo/bar")));
        assert_split("", Some("/foo"), "", Some(("", "/foo")));
        assert_split("/foo", Some("/"), "", Some(("", "/foo/")));
        assert_split("/foo/", Some("/bar"), "", Some(("", "/foo/bar")));
        assert_split("/app/foo", None, "/app", Some(("/app", "/foo")));
        assert_split("/app", None, "/app", Some(("/app", "/")));
        assert_split("/app/", Some("/"), "/app", Some(("/app", "/")));
        // Everything is script name, and it ends in a slash.
        assert_split("/foo/", None, "", Some(("", "/foo/")));
        assert_split("/app/", None, "/app", Some(("/app", "/")));
        assert_split("/", None, "", Some(("", "/")));
    }

    #[test]
    fn a_split_takes_the_spelling_of_the_request_where_it_means_the_same() {
        for (script_name, path, request_path, root, expected) in [
            ("/foo/bar/baz", None, "/foo/bar%2Fbaz", "", "/foo/bar%2Fbaz"),
            ("/foo", Some("/bar%2Fbaz"), "/foo/bar%2Fbaz", "", "/foo/bar%2Fbaz"),
            ("/app/foo/bar", None, "/app/foo%2Fbar", "/app", "/foo%2Fbar"),
            ("/app/foo/bar", None, "/%61pp/foo%2Fbar", "/app", "/foo%2Fbar"),
            // A server that leaves %2F alone, and decodes the rest.
            ("/foo/bar%2Fbaz a", None, "/foo/bar%2Fbaz%20a", "", "/foo/bar%2Fbaz%20a"),
            // What the server normalized or rewrote.
            ("/a/c", None, "/a//b/../c", "", "/a/c"),
            ("/b/c", None, "/a%2Fc", "", "/b/c"),
            ("/foo/bar", None, "/fo%6F/b%61r", "", "/fo%6F/b%61r"),
            // A spelling that begins with an escaped slash, or names another host, is not taken.
            ("/a/b", None, "/x%2Fa/b", "", "/a/b"),
            ("/", Some("/%2Fevil.example"), "//evil.example", "", "/%2Fevil.example"),
            // What is no URL path.
            ("/a/b?c", None, "/a%2Fb?c", "", "/a/b%3Fc"),
            ("/a/b", None, "a/a%2Fb", "", "/a/b"),
        ] {
            let mount = Mount::from_script_name(script_name.as_bytes()).unwrap();
            let mount = mount.with_nothing_below(path.is_none()).with_request_path(request_path);
            let root = root.parse().unwrap();
            let (split, path) = mount.split_at(path.unwrap_or("/"), &root).unwrap();
            assert_eq!(path, expected, "{script_name} of {request_path}");
            assert_eq!(split.prefix(), &root);
            assert_eq!(
                split.split_at(&path, &root),
                Some((split, path)),
                "splitting twice is splitting once"
            );
        }
    }

    #[test]
    fn a_root_is_found_in_the_spelling_of_the_request_and_in_no_other() {
        for (path, root, expected) in [
            ("/%61pp/foo%2Fbar", "/app", Some("/foo%2Fbar")),
            ("/caf%c3%a9/x", "/caf%C3%A9", Some("/x")),
            ("/%61pplication", "/app", None),
            ("/%61p", "/app", None),
        ] {
            let root: Prefix = root.parse().unwrap();
            assert_eq!(Mount::root().split_at(path, &root), None, "T105: no escape is undone");
            let split = Mount::root().with_request_path(path).split_at(path, &root);
            assert_eq!(split.map(|(_, path)| path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn a_spelling_begins_with_a_slash_and_decodes_exactly() {
        let spelling = |request_path: &'static str, path: &str| {
            Mount::spelling(request_path.as_bytes(), path.as_bytes())
                .map(|it| core::str::from_utf8(it).unwrap())
        };
        assert_eq!(spelling("/a/b", "/b"), Some("/b"));
        assert_eq!(spelling("/a/100%", "/100%"), Some("/100%"));
        assert_eq!(spelling("/a/b%252Fc", "/b%2Fc"), Some("/b%252Fc"));
        assert_eq!(spelling("/a/b%2fc", "/b%2fc"), Some("/b%2fc"));
        for (request_path, path) in [
            ("/a/b", "b"),
            ("/a%2Fb", "/b"),
            ("/b", "/a/b"),
            ("/a/b", ""),
            ("/a/b%2Fc", "/c"),
            ("/a/b%2F", "/b"),
        ] {
            assert_eq!(spelling(request_path, path), None, "{request_path} {path}");
        }
    }

    #[test]
    fn t102_only_on_a_segment_boundary() {
        assert_split("/application", Some("/admin"), "/app", None);
        assert_split("/other", Some("/app"), "/app", None);
    }

    #[test]
    fn t103_no_double_slash_is_exposed() {
        assert_split("", Some("/app//evil.example/x"), "/app", Some(("/app", "/evil.example/x")));
        assert_split("/", Some("//evil.example/x"), "", Some(("", "/evil.example/x")));
        // What is not rewritten is left alone.
        assert_split("", Some("//evil.example/x"), "", Some(("", "//evil.example/x")));
        assert_split("/app", Some("//x"), "/app", Some(("/app", "//x")));
    }

    #[test]
    fn t108_no_dangerous_path_is_built() {
        assert_split("/", Some("//evil.example/x"), "", Some(("", "/evil.example/x")));
        assert_split("/index.fcgi", Some("/../admin"), "", Some(("", "/index.fcgi/../admin")));
        assert_split("", None, "", Some(("", "/")));
    }

    #[test]
    fn a_script_name_that_is_no_prefix_is_joined_but_never_published() {
        let mount = Mount::from_script_name(b"/a b\xe9%").unwrap();
        assert_eq!((mount.prefix().as_str(), mount.script_name()), ("", "/a%20b%E9%25"));
        assert_eq!(mount.join("/x"), "/x");
        let mount = Mount::from_script_name("/café/".as_bytes()).unwrap();
        assert_eq!((mount.prefix().as_str(), mount.script_name()), ("/caf%C3%A9", "/caf%C3%A9/"));
        // Decoded once by the gateway, and not a second time by us.
        assert_eq!(Mount::from_script_name(b"/caf%C3%A9").unwrap().script_name(), "/caf%25C3%25A9");
        assert!(Mount::from_script_name(b"app").is_err());
    }

    #[test]
    fn the_mount_itself_joins_as_nothing() {
        let mount: Mount = "/foo".parse().unwrap();
        assert_eq!(mount.join("/"), "/foo/");
        assert_eq!(mount.with_nothing_below(true).join("/"), "/foo");
    }

    #[test]
    fn a_forwarded_prefix_stands_beside_the_script_name_in_either_order() {
        let prefix: Prefix = "/app".parse().unwrap();
        let mut before = Mount::from_script_name(b"/users").unwrap();
        before.set_forwarded(prefix.clone());
        let (before, path) = before.split_at("/7", &Prefix::root()).unwrap();
        let (mut after, _) =
            Mount::from_script_name(b"/users").unwrap().split_at("/7", &Prefix::root()).unwrap();
        after.set_forwarded(prefix);
        assert_eq!((before.join(&path).as_str(), path.as_str()), ("/app/users/7", "/users/7"));
        assert_eq!((&after, after.script_name()), (&before, before.script_name()));
        let (again, _) = before.split_at(&path, &Prefix::root()).unwrap();
        assert_eq!(again, before);
        // Equal is what the application sees, not how it came about.
        let (root, _) = Mount::from_script_name(b"/x").unwrap().split_at("/", &Prefix::root()).unwrap();
        assert_eq!(root, Mount::root());
    }

    #[test]
    fn mounts_are_equal_where_the_application_sees_the_same() {
        let hash = |mount: &Mount| {
            let mut hasher = std::hash::DefaultHasher::new();
            mount.hash(&mut hasher);
            hasher.finish()
        };
        let app: Mount = "/app".parse().unwrap();
        let slash = Mount::from_script_name(b"/app/").unwrap();
        assert_eq!((&slash, hash(&slash), format!("{slash}")), (&app, hash(&app), "/app".into()));
        for other in [app.clone().with_nothing_below(true), Mount::root()] {
            assert!(other != app && hash(&other) != hash(&app), "{other:?}");
        }
    }

    #[test]
    fn a_split_says_whether_anything_is_below_and_where_it_was_made() {
        let (root, app): (Prefix, Prefix) = (Prefix::root(), "/app".parse().unwrap());
        for (script_name, at, nothing_below) in
            [("/app", &app, true), ("/app/x", &app, false), ("/app", &root, false), ("", &root, false)]
        {
            let mount = Mount::from_script_name(script_name.as_bytes()).unwrap().with_nothing_below(true);
            assert!(!mount.is_split_at(at));
            let (split, _) = mount.split_at("/", at).unwrap();
            assert_eq!(split.nothing_below(), nothing_below, "{script_name} at {at}");
            assert_eq!((split.is_split_at(&root), split.is_split_at(&app)), (*at == root, *at == app));
        }
        let mut tried = Mount::root();
        tried.set_tried(&app);
        assert!(tried.is_split_at(&app) && !tried.is_split_at(&root));
    }

    #[test]
    fn a_script_name_is_stripped_once() {
        let (root, app): (Prefix, Prefix) = (Prefix::root(), "/app".parse().unwrap());
        let script = || Mount::from_script_name(b"/app.fcgi").unwrap();
        for (mount, to, nothing_below) in [
            (script(), &app, false),
            (script().with_nothing_below(true), &app, true),
            (script().with_nothing_below(true), &root, false),
        ] {
            let mut stripped = mount;
            stripped.set_tried(&app);
            stripped.strip_to(to);
            assert_eq!((stripped.prefix(), stripped.script_name()), (to, to.as_str()));
            assert_eq!((stripped.nothing_below(), stripped.is_split_at(&app)), (nothing_below, true));
        }
        let mut mount = script();
        mount.strip_to(&root);
        let mut again = mount.split_at("/app/x", &app).unwrap().0.with_nothing_below(true);
        again.strip_to(&root);
        assert_eq!((again.prefix(), again.nothing_below()), (&app, true));
        // What a proxy states is one more thing to strip.
        again.set_forwarded("/other".parse().unwrap());
        again.strip_to(&root);
        assert_eq!(again, Mount::root());
    }
}
