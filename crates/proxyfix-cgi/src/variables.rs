//! What the web server says of a request.

use std::fmt;
use std::ops::Range;

use bytes::{BufMut as _, Bytes, BytesMut};

/// The meta-variables of a request (RFC 3875 section 4.1), as the web server sent them: octets, in
/// order, duplicates kept.
///
/// It is in the extensions of every request that came through a gateway. Each value is the word of the
/// web server; those that begin with `HTTP_` are the client's.
///
/// ```
/// use proxyfix_cgi::MetaVariables;
///
/// let variables: MetaVariables = [("SCRIPT_NAME", "/a"), ("SCRIPT_NAME", "/b")].into_iter().collect();
/// assert_eq!(variables.get("SCRIPT_NAME"), Some(&b"/b"[..]));
/// assert_eq!(variables.get_all("SCRIPT_NAME").count(), 2);
/// assert_eq!(variables.get("PATH_INFO"), None);
/// ```
#[derive(Clone, Default)]
pub struct MetaVariables {
    octets: Bytes,
    pairs: Vec<Pair>,
}

/// Where name and value stand in the octets. Blocks are far shorter than 4 GiB, see
/// [`Limits`](crate::Limits).
#[derive(Clone, Copy, Debug)]
struct Pair {
    name: (u32, u32),
    value: (u32, u32),
}

impl MetaVariables {
    /// The value of `name`; of several, the last: servers that send a name twice (nginx, where a
    /// `fastcgi_param` follows `include fastcgi_params`) mean that one.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.pairs
            .iter()
            .rev()
            .find(|pair| self.octets(pair.name) == name.as_bytes())
            .map(|it| self.octets(it.value))
    }

    /// All values of `name`, in the order in which they were sent.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(it, _)| *it == name.as_bytes()).map(|(_, value)| value)
    }

    /// Names and values, in the order in which they were sent.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.pairs.iter().map(|pair| (self.octets(pair.name), self.octets(pair.value)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The same octets, a part of these variables, without a copy.
    pub(crate) fn share(&self, value: &[u8]) -> Bytes {
        self.octets.slice_ref(value)
    }

    pub(crate) fn over(octets: Bytes, capacity: usize) -> Self {
        Self { octets, pairs: Vec::with_capacity(capacity) }
    }

    /// Adds a pair that lies in the octets.
    pub(crate) fn push(&mut self, name: Range<usize>, value: Range<usize>) {
        let place = |it: Range<usize>| (it.start.try_into().unwrap_or(0), it.end.try_into().unwrap_or(0));
        self.pairs.push(Pair { name: place(name), value: place(value) });
    }

    fn octets(&self, (start, end): (u32, u32)) -> &[u8] {
        &self.octets[start as usize..end as usize]
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for MetaVariables {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut octets = BytesMut::new();
        let mut places = Vec::new();
        for (name, value) in pairs {
            let start = octets.len();
            octets.put_slice(name.as_ref());
            let middle = octets.len();
            octets.put_slice(value.as_ref());
            places.push((start, middle, octets.len()));
        }
        let mut variables = Self::over(octets.freeze(), places.len());
        for (start, middle, end) in places {
            variables.push(start..middle, middle..end);
        }
        variables
    }
}

/// Names only: values hold cookies and credentials.
impl fmt::Debug for MetaVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.iter().map(|(name, _)| name.escape_ascii().to_string());
        f.debug_tuple("MetaVariables").field(&names.collect::<Vec<_>>()).finish()
    }
}
