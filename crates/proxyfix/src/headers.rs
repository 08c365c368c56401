//! Which header names exist, their aliases, one look at all of them, and their removal.

use std::slice;

use http::header::{CONNECTION, Entry, HOST, ValueIter};
use http::{HeaderMap, HeaderName, HeaderValue};
use proxyfix_policy::{Claims, Error, Field, OneLine, Policy};

use crate::Canonical;

/// Declares the protected names twice: as text, and as what a header map is asked with.
macro_rules! protected {
    ($(#[$doc:meta])* $($name:literal,)*) => {
        $(#[$doc])*
        pub const PROTECTED_HEADERS: &[&str] = &[$($name),*];

        /// [`PROTECTED_HEADERS`], parsed once.
        static NAMES: [HeaderName; PROTECTED_HEADERS.len()] = [$(HeaderName::from_static($name)),*];
    };
}

protected! {
    /// The headers that could tell a later reader something else than the decision, in lower case.
    ///
    /// Removed from every request, trusted peer or not, under any spelling that a gateway folds into the
    /// same name: case, and any byte that is neither letter nor digit in the place of a hyphen
    /// (`X_Forwarded_For`, `X.Forwarded-For`).
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "client-ip",
    "cloudfront-viewer-address",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded",
    "front-end-https",
    "proxy",
    "script-name",
    "true-client-ip",
    "x-accel-mapping",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-envoy-original-path",
    "x-forwarded",
    "x-forwarded-by",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-path",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-protocol",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-forwarded-uri",
    "x-original-host",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
    "x-script-name",
    "x-sendfile-type",
    "x-url-scheme",
}

/// How many there are: each has a bit in a mask.
const COUNT: usize = PROTECTED_HEADERS.len();

/// Where the header of the host of the `X-Forwarded-*` family stands among them.
pub(crate) const X_FORWARDED_HOST: u8 = 21;

/// Where the headers of all five fields of that family stand.
const OF_FIELDS: [u8; 5] = [20, 25, X_FORWARDED_HOST, 23, 24];

/// The headers of these fields, a bit each.
pub(crate) fn headers_of(fields: impl IntoIterator<Item = Field>) -> u64 {
    fields.into_iter().fold(0, |mask, field| mask | (1 << OF_FIELDS[field as usize]))
}

/// Names as long as this, or longer, share a row of the tables.
const LONGEST: usize = 31;

/// For each length, the first letters of the names that have to be looked at, a bit each. All others,
/// and that is nearly every header, are passed after one look.
type Firsts = [u32; LONGEST + 1];

const FIRSTS: Firsts = {
    let mut firsts = [0; LONGEST + 1];
    let mut index = 0;
    while index < COUNT {
        let name = PROTECTED_HEADERS[index].as_bytes();
        firsts[name.len()] |= letter(name[0]);
        index += 1;
    }
    firsts[4] |= letter(b'h'); // host
    firsts[10] |= letter(b'c'); // connection
    firsts
};

const fn letter(byte: u8) -> u32 {
    1 << (byte & 31)
}

/// For each length, which names have it; the end is marked by [`COUNT`].
const BY_LENGTH: [[u8; 8]; LONGEST + 1] = {
    const END: u8 = byte(COUNT);
    let mut rows = [[END; 8]; LONGEST + 1];
    let mut index = 0;
    while index < END {
        let row = &mut rows[PROTECTED_HEADERS[index as usize].len()];
        let mut column = 0;
        while row[column] != END {
            column += 1;
        }
        row[column] = index;
        index += 1;
    }
    rows
};

/// The length of each name, and its [`ends`].
const PIECES: [(usize, u128, u128); COUNT] = {
    let mut pieces = [(0, 0, 0); COUNT];
    let mut index = 0;
    while index < COUNT {
        let name = PROTECTED_HEADERS[index].as_bytes();
        assert!(name.len() <= 32, "its ends are not all of it");
        let (first, last) = ends(name);
        pieces[index] = (name.len(), first, last);
        index += 1;
    }
    pieces
};

/// The first and the last bytes of a name: all of it, up to 32 bytes. They are compared without a loop.
#[inline]
const fn ends(name: &[u8]) -> (u128, u128) {
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        return (u128::from_le_bytes(*first), u128::from_le_bytes(*last));
    }
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        return (u64::from_le_bytes(*first) as u128, u64::from_le_bytes(*last) as u128);
    }
    let (mut bytes, mut at) = (0, 0);
    while at < name.len() {
        bytes = bytes << 8 | name[at] as u128;
        at += 1;
    }
    (bytes, 0)
}

/// Which name may stand behind each [`slot`]; [`COUNT`] for none.
const SLOTS: [u8; 1 << SLOT_BITS] = {
    let mut slots = [byte(COUNT); 1 << SLOT_BITS];
    let mut index = 0;
    while index < COUNT {
        let slot = slot(PROTECTED_HEADERS[index].as_bytes());
        assert!(slots[slot] == byte(COUNT), "two names share a slot: another factor is needed");
        slots[slot] = byte(index);
        index += 1;
    }
    slots
};

const SLOT_BITS: u32 = 8;

/// A number that the end and the length of a name make, another one for each name.
#[inline]
const fn slot(name: &[u8]) -> usize {
    const FACTOR: u64 = 0x3099_fdf5_ab99_254b;
    let end = match name.last_chunk() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => 0,
    };
    let mixed = (end ^ name.len() as u64).wrapping_mul(FACTOR);
    (mixed >> (u64::BITS - SLOT_BITS)) as usize
}

/// Where `name`, in lower case, stands among the protected ones.
#[inline]
fn index_of(name: &[u8]) -> Option<u8> {
    let index = SLOTS[slot(name)];
    let (length, first, last) = *PIECES.get(usize::from(index))?;
    let own = ends(name);
    (length == name.len() && (own.0 ^ first) | (own.1 ^ last) == 0).then_some(index)
}

/// The place of a protected name as a byte.
#[expect(clippy::cast_possible_truncation, reason = "there are fewer than 64")]
const fn byte(index: usize) -> u8 {
    index as u8
}

/// The names that a fix removes: the protected ones, and its own.
#[derive(Clone, Debug)]
pub(crate) struct Doomed {
    own: Vec<HeaderName>,
    firsts: Firsts,
}

impl Doomed {
    /// The protected ones alone.
    pub(crate) const fn new() -> Self {
        Self { own: Vec::new(), firsts: FIRSTS }
    }

    pub(crate) fn add(&mut self, name: HeaderName) {
        if !self.own.contains(&name) {
            let text = name.as_str().as_bytes();
            // Whatever is neither letter nor digit folds to any other such byte.
            let plain = text.first().filter(|first| first.is_ascii_alphanumeric());
            self.firsts[text.len().min(LONGEST)] |= plain.map_or(u32::MAX, |first| letter(*first));
            self.own.push(name);
        }
    }

    /// Those that are not protected by everybody.
    pub(crate) fn own(&self) -> &[HeaderName] {
        &self.own
    }

    /// Looks at each header once.
    #[inline]
    pub(crate) fn look(&self, scan: &mut Scan<'_>) {
        let (host, first) = self.first_that_matters(scan.headers);
        self.look_on(host, first, scan);
    }

    /// Goes on where [`first_that_matters`](Self::first_that_matters) stopped.
    #[inline]
    pub(crate) fn look_on(&self, host: Option<usize>, first: Option<usize>, scan: &mut Scan<'_>) {
        if let Some(at) = host {
            (scan.hosts, scan.host) = (1, host_at(scan.headers, at));
        }
        if let Some(at) = first {
            self.look_from(at, scan);
        }
    }

    /// Where `Host` stands, and the first line that has to be looked at. To go over the names costs half as much as
    /// to go over the lines, and many requests have none that matters.
    #[inline]
    pub(crate) fn first_that_matters(&self, headers: &HeaderMap) -> (Option<usize>, Option<usize>) {
        const ALL: (Option<usize>, Option<usize>) = (None, Some(0));
        if is_repeated(headers) {
            return ALL;
        }
        let mut host = None;
        for (at, name) in headers.keys().enumerate().filter(|(_, name)| self.may_matter(name)) {
            if *name == HOST {
                host = Some(at);
            } else if *name != CONNECTION {
                return (host, Some(at));
            } else if !self.is_usual_connection(headers.get(CONNECTION)) {
                return ALL;
            }
        }
        (host, None)
    }

    /// Whether the line of `Connection` is one that names no protected header.
    fn is_usual_connection(&self, line: Option<&HeaderValue>) -> bool {
        let usual: [&[u8]; 3] = [b"close", b"keep-alive", b"upgrade"];
        let Some(line) = line.map(HeaderValue::as_bytes) else { return false };
        usual.iter().any(|usual| usual.eq_ignore_ascii_case(line))
            && !self.own.iter().any(|own| own.as_str().as_bytes().eq_ignore_ascii_case(line))
    }

    /// Whether a name has the length and the first letter of one that matters.
    #[inline]
    fn may_matter(&self, name: &HeaderName) -> bool {
        let text = name.as_str().as_bytes();
        let first = text.first().map_or(0, |first| letter(*first));
        self.firsts[text.len().min(LONGEST)] & first != 0
    }

    /// The same of a stranger's headers: a few have to go, whatever they say. `None` where more matters, or may.
    pub(crate) fn few_from(
        &self,
        first: usize,
        headers: &HeaderMap,
        host: &mut Option<usize>,
    ) -> Option<Few> {
        if is_repeated(headers) {
            return None;
        }
        let mut few = Few::default();
        let names = headers.keys().enumerate().skip(first);
        for (at, name) in names.filter(|(_, name)| self.may_matter(name)) {
            if let Some(index) = index_of(name.as_str().as_bytes()) {
                *few.protected.get_mut(usize::from(few.length))? = index;
                few.length += 1;
            } else if *name == HOST {
                *host = Some(at);
            } else if *name == CONNECTION {
                self.is_usual_connection(headers.get(CONNECTION)).then_some(())?;
            } else if is_protected(name.as_str(), &self.own) {
                return None;
            }
        }
        Some(few)
    }

    #[inline(never)]
    fn look_from(&self, at: usize, scan: &mut Scan<'_>) {
        let headers = scan.headers;
        if scan.found.repeated {
            // There may be thousands of lines, and names only once.
            for name in headers.keys().skip(at).filter(|name| self.may_matter(name)) {
                self.look_again(name, None, scan);
            }
            scan.read_lines();
        } else {
            let mut lines = headers.iter();
            for _ in 0..at {
                lines.next();
            }
            for (name, value) in lines {
                if self.may_matter(name) {
                    self.look_again(name, Some(value), scan);
                }
            }
        }
    }

    /// At a name that may matter.
    #[inline]
    fn look_again<'a>(&self, name: &HeaderName, value: Option<&'a HeaderValue>, scan: &mut Scan<'a>) {
        let length = usize::from(scan.found.few.length);
        match (index_of(name.as_str().as_bytes()), scan.first.get_mut(length)) {
            (Some(index), Some(first)) => {
                *first = value;
                scan.places[usize::from(index)] = byte(length);
                scan.found.mask |= 1 << index;
                scan.found.few.protected[length] = index;
                scan.found.few.length += 1;
            }
            (known, _) => self.look_at_other(name, known.is_some(), value, scan),
        }
    }

    #[cold]
    #[inline(never)]
    fn look_at_other<'a>(
        &self,
        name: &HeaderName,
        known: bool,
        value: Option<&'a HeaderValue>,
        scan: &mut Scan<'a>,
    ) {
        if *name == HOST {
            (scan.hosts, scan.host) = (1, value);
        } else if *name == CONNECTION {
            scan.connection |= !self.is_usual_connection(value);
        } else if known || is_protected(name.as_str(), &self.own) {
            scan.found.others.get_or_insert_default().0.push(name.clone());
        }
    }
}

/// Whether some header has several lines: then there are more of them than names.
#[inline]
fn is_repeated(headers: &HeaderMap) -> bool {
    headers.len() != headers.keys_len()
}

/// The line of `Host`, which stands at this place, where no header has several.
#[inline]
pub(crate) fn host_at(headers: &HeaderMap, at: usize) -> Option<&HeaderValue> {
    // Clients send `Host` first, and a few steps cost less than a look for its name.
    if at > 8 { headers.get(HOST) } else { headers.values().nth(at) }
}

/// Protected headers that are found without asking for memory; most requests have fewer.
const FEW: usize = 12;

/// What one look at all headers found.
pub(crate) struct Scan<'a> {
    headers: &'a HeaderMap,
    /// How many lines name the host, and the last of them.
    pub(crate) hosts: usize,
    pub(crate) host: Option<&'a HeaderValue>,
    /// Whether there is a `Connection` header that may name others.
    pub(crate) connection: bool,
    /// Where each protected header stands among the few, if it does.
    places: [u8; COUNT],
    /// The first line of each of the few.
    first: [Option<&'a HeaderValue>; FEW],
    /// Which of them have several lines, a bit each.
    many: u16,
    found: Found,
}

impl<'a> Scan<'a> {
    /// Before the look. It is filled in its place, because it is large.
    #[inline]
    pub(crate) fn new(headers: &'a HeaderMap) -> Self {
        Self {
            headers,
            hosts: 0,
            host: None,
            connection: false,
            places: [0; COUNT],
            first: [None; FEW],
            many: 0,
            found: Found {
                few: Few { protected: [0; FEW], length: 0 },
                mask: 0,
                repeated: is_repeated(headers),
                others: None,
            },
        }
    }

    fn find_hosts(&mut self) {
        let mut lines = self.headers.iter();
        // Clients send it first.
        if let (Some((name, first)), next) = (lines.next(), lines.next()) {
            if *name == HOST && next.is_none_or(|(next, _)| *next != HOST) {
                (self.hosts, self.host) = (1, Some(first));
                return;
            }
        }
        let lines = self.headers.get_all(HOST).iter();
        (self.hosts, self.host) = lines.fold((0, None), |(count, _), line| (count + 1, Some(line)));
    }

    /// Reads the lines of what was found, where some header has several.
    fn read_lines(&mut self) {
        self.find_hosts();
        for (place, index) in self.found.few.protected().iter().enumerate() {
            let mut lines = self.headers.get_all(&NAMES[usize::from(*index)]).iter();
            self.first[place] = lines.next();
            self.many |= u16::from(lines.next().is_some()) << place;
        }
    }

    /// Where a protected header stands among the few.
    #[inline]
    fn place_of(&self, index: u8) -> Option<usize> {
        (self.found.mask & (1 << index) != 0).then(|| usize::from(self.places[usize::from(index)]))
    }

    /// The lines of a protected header.
    #[inline]
    fn lines(&self, index: u8) -> Lines<'a> {
        match self.one_line(index) {
            OneLine::None => Lines::One(None),
            OneLine::One(line) => Lines::One(Some(line)),
            OneLine::Several => Lines::Many(self.headers.get_all(&NAMES[usize::from(index)]).into_iter()),
        }
    }

    /// The same, where there is no more than one.
    #[inline]
    fn one_line(&self, index: u8) -> OneLine<'a> {
        match self.place_of(index) {
            // Where there were more than a few, this one may be among the others.
            None if self.found.few.length < byte(FEW) => OneLine::None,
            _ => self.only(index).map_or(OneLine::Several, |line| OneLine::One(line.as_bytes())),
        }
    }

    /// The line of a protected header that has one.
    #[inline]
    pub(crate) fn only(&self, index: u8) -> Option<&'a HeaderValue> {
        let place = self.place_of(index)?;
        self.first[place].filter(|_| self.many & (1 << place) == 0)
    }

    pub(crate) fn found(&self) -> &Found {
        &self.found
    }

    /// What has to go.
    pub(crate) fn into_found(self) -> Found {
        self.found
    }
}

/// A few protected headers that are spelled as they should be, in their order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Few {
    protected: [u8; FEW],
    length: u8,
}

impl Few {
    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn protected(&self) -> &[u8] {
        &self.protected[..usize::from(self.length)]
    }

    /// Removes them.
    #[inline]
    pub(crate) fn remove(&self, headers: &mut HeaderMap) {
        // From the last to the first: nothing has to move into the place of the last one.
        for index in self.protected().iter().rev() {
            headers.remove(&NAMES[usize::from(*index)]);
        }
    }
}

/// The headers of a request that have to go.
pub(crate) struct Found {
    few: Few,
    /// The same, a bit each.
    mask: u64,
    /// Whether any header of the request has several lines.
    repeated: bool,
    /// Aliases, the fix's own, and what is more than a few: hardly ever any.
    others: Option<Box<Others>>,
}

#[derive(Default)]
struct Others(Vec<HeaderName>);

impl Found {
    pub(crate) fn is_empty(&self) -> bool {
        self.few.is_empty() && self.others.is_none()
    }

    /// All of them, unless there are others than a few protected ones in their own spelling.
    #[inline]
    pub(crate) fn few(&self) -> Option<Few> {
        self.others.is_none().then_some(self.few)
    }

    fn others(&self) -> &[HeaderName] {
        self.others.as_ref().map_or(&[], |others| &others.0)
    }

    /// Whether one of the headers of [`headers_of`] is there.
    #[inline]
    pub(crate) fn has_any(&self, mask: u64) -> bool {
        self.others.is_some() || self.mask & mask != 0
    }

    /// The names, each once.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        let protected = self.few.protected().iter().map(|index| PROTECTED_HEADERS[usize::from(*index)]);
        protected.chain(self.others().iter().map(HeaderName::as_str))
    }

    /// Removes them, and hands each line to `keep`.
    pub(crate) fn remove(&self, headers: &mut HeaderMap, mut keep: impl FnMut(Name<'_>, HeaderValue)) {
        for index in self.few.protected().iter().rev() {
            let name = &NAMES[usize::from(*index)];
            if !self.repeated {
                if let Some(value) = headers.remove(name) {
                    keep(Name::Protected(*index), value);
                }
            } else if let Entry::Occupied(entry) = headers.entry(name) {
                entry.remove_entry_mult().1.for_each(|value| keep(Name::Protected(*index), value));
            }
        }
        for name in self.others() {
            let known = index_of(name.as_str().as_bytes());
            let known = known.map_or(Name::Other(name), Name::Protected);
            if let Entry::Occupied(entry) = headers.entry(name) {
                entry.remove_entry_mult().1.for_each(|value| keep(known, value));
            }
        }
    }

    /// Removes them, unkept.
    pub(crate) fn forget(&self, headers: &mut HeaderMap) {
        self.few.remove(headers);
        for name in self.others() {
            headers.remove(name);
        }
    }
}

/// The name of a line that was removed.
#[derive(Clone, Copy)]
pub(crate) enum Name<'a> {
    /// By its place among the protected ones.
    Protected(u8),
    Other(&'a HeaderName),
}

/// What was removed from a request, for the fixes that come later in a stack: a request is judged by
/// what it said as it came in, whichever fix reads it.
#[derive(Clone, Default)]
pub(crate) struct Removed {
    /// The lines of one name stand together. Most requests have few, and need no memory of their own.
    first: [Option<Line>; 6],
    length: u8,
    /// Which policy judged the request first, by where it stands in memory.
    judge: usize,
    rare: Option<Box<Rare>>,
}

#[derive(Clone)]
struct Line {
    /// Its place among the protected names, or behind them among the others.
    name: u32,
    value: HeaderValue,
}

/// What most requests do not have.
#[derive(Clone, Default)]
struct Rare {
    /// The lines that are more than a few.
    more: Vec<Line>,
    /// The names of lines that are not spelled as a protected one.
    others: Vec<HeaderName>,
    /// Which policies judged the request later.
    judges: Vec<usize>,
    /// What functions found in the request as it came in, by the policy that they belong to.
    found: Vec<(usize, Computed, bool)>,
    /// What is written in their place.
    canonical: Option<Canonical>,
}

/// Values that do not stand in a header, under names that no header can have.
pub(crate) type Computed = Vec<(&'static str, Vec<u8>)>;

impl Removed {
    /// Adds a line that was removed.
    #[inline]
    pub(crate) fn push(&mut self, name: Name<'_>, value: HeaderValue) {
        let name = match name {
            Name::Protected(index) => u32::from(index),
            Name::Other(name) => self.number_other(name),
        };
        let line = Line { name, value };
        match self.first.get_mut(usize::from(self.length)) {
            Some(free) => {
                *free = Some(line);
                self.length += 1;
            }
            None => self.push_more(line),
        }
    }

    #[cold]
    #[inline(never)]
    fn push_more(&mut self, line: Line) {
        self.rare.get_or_insert_default().more.push(line);
    }

    #[cold]
    #[inline(never)]
    fn number_other(&mut self, name: &HeaderName) -> u32 {
        let others = &mut self.rare.get_or_insert_default().others;
        if others.last() != Some(name) {
            others.push(name.clone());
        }
        number_of(COUNT + others.len() - 1)
    }

    /// Adds a line that a later fix removed, unless the header came back from inside: a protected one,
    /// or one that was removed before.
    pub(crate) fn push_later(&mut self, name: Name<'_>, value: HeaderValue, known: usize) {
        if let Name::Other(other) = name {
            if !self.others()[..known].contains(other) && !is_protected(other.as_str(), &[]) {
                self.push(name, value);
            }
        }
    }

    fn more(&self) -> &[Line] {
        self.rare.as_ref().map_or(&[], |rare| &rare.more)
    }

    /// The names other than the protected ones.
    pub(crate) fn others(&self) -> &[HeaderName] {
        self.rare.as_ref().map_or(&[], |rare| &rare.others)
    }

    /// What is written in the place of what was removed.
    pub(crate) fn canonical(&self) -> Option<Canonical> {
        self.rare.as_ref().and_then(|rare| rare.canonical)
    }

    pub(crate) fn set_canonical(&mut self, canonical: Canonical) {
        self.rare.get_or_insert_default().canonical = Some(canonical);
    }

    fn lines(&self) -> impl DoubleEndedIterator<Item = &Line> {
        self.first.iter().flatten().chain(self.more())
    }

    #[cfg(feature = "guard")]
    fn name(&self, line: &Line) -> &str {
        let index = line.name as usize;
        PROTECTED_HEADERS.get(index).copied().unwrap_or_else(|| self.others()[index - COUNT].as_str())
    }

    /// The number by which lines have this name, if there can be any.
    fn number(&self, name: &str) -> Option<u32> {
        let other = || self.others().iter().position(|other| other == name).map(|index| index + COUNT);
        index_of(name.as_bytes()).map(u32::from).or_else(|| other().map(number_of))
    }

    /// What the functions of this policy's fix found when it judged first: they see what later stands
    /// there no more.
    pub(crate) fn found_by(&self, policy: &Policy) -> Option<(Computed, bool)> {
        let judge = std::ptr::from_ref(policy).addr();
        let found = self.rare.as_ref()?.found.iter().find(|found| found.0 == judge)?;
        Some((found.1.clone(), found.2))
    }

    /// Remembers it.
    pub(crate) fn note_found(&mut self, policy: &Policy, computed: Computed, proven: bool) {
        let judge = std::ptr::from_ref(policy).addr();
        let found = &mut self.rare.get_or_insert_default().found;
        if !found.iter().any(|found| found.0 == judge) {
            found.push((judge, computed, proven));
        }
    }

    /// The number of lines and of bytes of each header in turn, and its name.
    #[cfg(feature = "guard")]
    fn sizes(&self) -> impl Iterator<Item = (&str, usize, usize)> {
        let mut lines = self.lines().peekable();
        std::iter::from_fn(move || {
            let first = lines.next()?;
            let (mut count, mut bytes) = (1, first.value.len());
            while let Some(line) = lines.next_if(|line| line.name == first.name) {
                (count, bytes) = (count + 1, bytes + line.value.len());
            }
            Some((self.name(first), count, bytes))
        })
    }

    /// The most lines that one header had.
    #[cfg(feature = "guard")]
    pub(crate) fn most_lines(&self) -> usize {
        self.sizes().map(|(_, lines, _)| lines).max().unwrap_or_default()
    }

    /// The most bytes that the values of one family had: `X-Forwarded-*` is one, others stand alone.
    #[cfg(feature = "guard")]
    pub(crate) fn most_bytes(&self) -> usize {
        let (mut family, mut most) = (0, 0);
        for (name, _, bytes) in self.sizes() {
            if name.starts_with("x-forwarded-") {
                family += bytes;
            }
            most = most.max(bytes).max(family);
        }
        most
    }

    /// Whether `policy` judged this request before; it has now.
    #[inline]
    pub(crate) fn judged_before_by(&mut self, policy: &Policy) -> bool {
        let judge = std::ptr::from_ref(policy).addr();
        if self.judge == 0 {
            self.judge = judge;
            return false;
        }
        self.judge == judge || self.judged_later_by(judge)
    }

    fn judged_later_by(&mut self, judge: usize) -> bool {
        let judges = &mut self.rare.get_or_insert_default().judges;
        // More fixes than this of one kind are no mistake in the wiring.
        let before = judges.contains(&judge);
        if !before && judges.len() < 8 {
            judges.push(judge);
        }
        before
    }
}

/// A header map has no more than 32 768 names.
fn number_of(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// Whether `name` folds to a protected name.
pub(crate) fn is_protected(name: &str, own: &[HeaderName]) -> bool {
    let of_this_length = BY_LENGTH.get(name.len()).map_or(&[][..], |row| row);
    let protected = |index: &u8| PROTECTED_HEADERS.get(usize::from(*index));
    of_this_length.iter().map_while(protected).any(|protected| folds_to(name, protected))
        || own.iter().any(|own| folds_to(name, own.as_str()))
}

/// Whether `name`, in lower case, folds to a protected name that is spelled otherwise.
pub(crate) fn is_alias(name: &str, own: &[HeaderName]) -> bool {
    index_of(name.as_bytes()).is_none() && !own.iter().any(|own| own == name)
}

/// Folding ignores case and maps every byte that is neither letter nor digit to the hyphen.
fn folds_to(name: &str, protected: &str) -> bool {
    name.len() == protected.len()
        && name.bytes().zip(protected.bytes()).all(|(byte, expected)| {
            byte.to_ascii_lowercase() == expected || (expected == b'-' && !byte.is_ascii_alphanumeric())
        })
}

/// The headers of a request, as the policy reads them.
pub(crate) struct HeaderClaims<'a> {
    pub(crate) headers: &'a HeaderMap,
    /// The look at them, where no fix ran before.
    pub(crate) scan: Option<&'a Scan<'a>>,
    /// What earlier fixes removed; `None` where no fix ran before.
    pub(crate) removed: Option<&'a Removed>,
    /// Values that were computed, under names that no header can have.
    pub(crate) computed: &'a Computed,
}

impl Claims for HeaderClaims<'_> {
    #[inline]
    fn lines<'a>(&'a self, name: &str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        match self.scan {
            _ if name.is_empty() => Lines::One(None),
            _ if name.starts_with(':') => {
                let computed = self.computed.iter().find(|(computed, _)| *computed == name);
                Lines::One(computed.map(|(_, value)| value.as_slice()))
            }
            Some(scan) => match index_of(name.as_bytes()) {
                Some(index) => scan.lines(index),
                None => Lines::Many(scan.headers.get_all(name).into_iter()),
            },
            None => self.lines_before(name),
        }
    }

    /// Whatever a policy reads is removed: there is nothing where nothing was found that has to go.
    #[inline]
    fn is_silent(&self) -> bool {
        self.scan.is_some_and(|scan| scan.found.is_empty()) && self.computed.is_empty()
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "which field it is is known then")]
    fn one_line(&self, field: Field) -> OneLine<'_> {
        match self.scan {
            Some(scan) => scan.one_line(OF_FIELDS[field as usize]),
            None => OneLine::of(self.lines(field.x_forwarded_name())),
        }
    }
}

impl HeaderClaims<'_> {
    /// Behind another fix: what was removed is read where it was, what came back since is not.
    #[cold]
    fn lines_before<'a>(&'a self, name: &str) -> Lines<'a> {
        let kept = self.removed.and_then(|removed| {
            let number = removed.number(name)?;
            let is_there = removed.lines().any(|line| line.name == number);
            let (first, more) = (removed.first.iter(), removed.more().iter());
            is_there.then_some(Lines::Kept { number, first, more })
        });
        let hidden = self.removed.is_some() && is_protected(name, &[]);
        match kept {
            Some(lines) => lines,
            None if hidden => Lines::One(None),
            None => Lines::Many(self.headers.get_all(name).into_iter()),
        }
    }
}

/// The lines of one header.
enum Lines<'a> {
    /// There is one, or none.
    One(Option<&'a [u8]>),
    Many(ValueIter<'a, HeaderValue>),
    /// They were removed; other headers' lines may stand among those that are left.
    Kept {
        number: u32,
        first: slice::Iter<'a, Option<Line>>,
        more: slice::Iter<'a, Line>,
    },
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        match self {
            Self::One(line) => line.take(),
            Self::Many(lines) => lines.next().map(HeaderValue::as_bytes),
            Self::Kept { number, first, more } => {
                let line = first.by_ref().flatten().chain(more.by_ref()).find(|line| line.name == *number)?;
                Some(line.value.as_bytes())
            }
        }
    }
}

impl<'a> DoubleEndedIterator for Lines<'a> {
    fn next_back(&mut self) -> Option<&'a [u8]> {
        match self {
            Self::One(line) => line.take(),
            Self::Many(lines) => lines.next_back().map(HeaderValue::as_bytes),
            Self::Kept { number, first, more } => {
                let line =
                    first.by_ref().flatten().chain(more.by_ref()).rfind(|line| line.name == *number)?;
                Some(line.value.as_bytes())
            }
        }
    }
}

/// A header name that the operator adds to the protected ones, folded as those are.
pub(crate) fn own_header(name: &str) -> Result<HeaderName, Error> {
    /// Removing these would unroute or unframe the request.
    const NEEDED: [&str; 6] =
        ["host", "connection", "content-length", "content-type", "transfer-encoding", "upgrade"];
    let refused = |reason: &str| Err(Error::refused(&format!("{name:?} cannot be removed: {reason}")));
    let fold = |byte: char| if byte.is_ascii_alphanumeric() { byte } else { '-' };
    let folded: String = name.chars().map(fold).collect();
    match (HeaderName::from_bytes(name.as_bytes()), HeaderName::from_bytes(folded.as_bytes())) {
        (Ok(_), Ok(name)) if NEEDED.contains(&name.as_str()) => refused("it routes or frames the request"),
        (Ok(_), Ok(name)) => Ok(name),
        _ => refused("a header name is a token (RFC 9110 section 5.6.2)"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn remaining(names: &[&str], own: &[&str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for name in names {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), "v".parse().unwrap());
        }
        let own: Vec<HeaderName> = own.iter().map(|name| own_header(name).unwrap()).collect();
        let mut doomed = Doomed::new();
        for name in own {
            doomed.add(name);
        }
        let mut scan = Scan::new(&headers);
        doomed.look(&mut scan);
        scan.into_found().remove(&mut headers, |_, _| ());
        headers.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn every_protected_header_is_found() {
        let of_fields = OF_FIELDS.map(|index| PROTECTED_HEADERS[usize::from(index)]);
        assert_eq!(of_fields, Field::ALL.map(Field::x_forwarded_name));
        for (index, name) in PROTECTED_HEADERS.iter().enumerate() {
            assert_eq!(index_of(name.as_bytes()), Some(byte(index)), "{name}");
            assert_eq!(index_of(&name.as_bytes()[1..]), None);
            for place in 0..name.len() {
                let mut other = name.as_bytes().to_vec();
                other[place] ^= 2;
                assert_eq!(index_of(&other), None);
            }
        }
    }

    fn any_lines() -> impl Strategy<Value = Vec<(String, String)>> {
        const KNOWN: &[&str] =
            &["host", "connection", "accept", "x-request-id", "x-api-key", "x-own", "x_own", "cookie"];
        let protected = proptest::sample::select(PROTECTED_HEADERS).prop_map(str::to_owned);
        let alias = proptest::sample::select(PROTECTED_HEADERS).prop_map(|name| name.replacen('-', "_", 1));
        let known = proptest::sample::select(KNOWN).prop_map(str::to_owned);
        let name = prop_oneof![4 => protected, 1 => alias, 4 => known, 1 => "[a-z_-]{1,40}"];
        let value = prop_oneof!["[a-z]{0,3}", Just("close".to_owned())];
        // As often as not, no name comes twice.
        (proptest::collection::vec((name, value), 0..30), any::<bool>()).prop_map(|(mut lines, distinct)| {
            let mut known = Vec::new();
            lines.retain(|(name, _)| {
                let is_new = !known.contains(name);
                known.push(name.clone());
                is_new || !distinct
            });
            lines
        })
    }

    proptest! {
        #[test]
        fn one_look_finds_what_is_there(lines in any_lines()) {
            let mut headers = HeaderMap::new();
            for (name, value) in &lines {
                headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
            }
            let own = own_header("X-Own").unwrap();
            let mut doomed = Doomed::new();
            doomed.add(own.clone());
            let mut scan = Scan::new(&headers);
            doomed.look(&mut scan);

            let of = |name: &str| headers.get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>();
            prop_assert_eq!((scan.hosts, scan.host.map(HeaderValue::as_bytes)), (of("host").len(), of("host").pop()));
            let connection = of("connection");
            let usual = connection.len() < 2 && connection.iter().all(|line| *line == b"close");
            prop_assert!(scan.connection || usual);
            prop_assert!(!scan.connection || !connection.is_empty());
            for index in 0..byte(COUNT) {
                let there = of(PROTECTED_HEADERS[usize::from(index)]);
                prop_assert_eq!(scan.lines(index).collect::<Vec<_>>(), there.clone());
                match scan.one_line(index) {
                    OneLine::None => prop_assert!(there.is_empty()),
                    OneLine::One(line) => prop_assert_eq!([line], there.as_slice()),
                    // Of many headers some are looked for by name.
                    OneLine::Several => prop_assert!(there.len() > 1 || scan.found.few.length == byte(FEW)),
                }
            }
            let goes = |name: &str| {
                let folded: String =
                    name.chars().map(|it| if it.is_ascii_alphanumeric() { it } else { '-' }).collect();
                PROTECTED_HEADERS.contains(&folded.as_str()) || folded == "x-own"
            };
            let mut found: Vec<&str> = scan.found().names().collect();
            let mut expected: Vec<&str> =
                headers.keys().map(HeaderName::as_str).filter(|name| goes(name)).collect();
            found.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(&found, &expected);

            let found = scan.into_found();
            let (mut left, mut forgot, mut kept) = (headers.clone(), headers.clone(), Vec::new());
            found.forget(&mut forgot);
            found.remove(&mut left, |name, value| {
                let name = match name {
                    Name::Protected(index) => PROTECTED_HEADERS[usize::from(index)].to_owned(),
                    Name::Other(name) => name.to_string(),
                };
                kept.push((name, value));
            });
            prop_assert_eq!(&left, &forgot);
            prop_assert!(left.keys().all(|name| !goes(name.as_str())));
            let lines_of = |headers: &HeaderMap| {
                let mut lines: Vec<_> =
                    headers.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
                lines.sort();
                lines
            };
            kept.extend(left.iter().map(|(name, value)| (name.to_string(), value.clone())));
            kept.sort();
            prop_assert_eq!(kept, lines_of(&headers));
        }
    }

    #[test]
    fn every_protected_header_goes() {
        assert_eq!(remaining(PROTECTED_HEADERS, &[]), [""; 0]);
        assert!(PROTECTED_HEADERS.is_sorted());
    }

    #[test]
    fn t114_aliases_go_with_their_names() {
        let aliases = [
            "X_Forwarded_For",
            "X-Forwarded_Proto",
            "X_Real_IP",
            "X.Forwarded.Host",
            "x~forwarded-prefix",
            "CF_Connecting_IP",
            "x!real*ip",
        ];
        assert_eq!(remaining(&aliases, &[]), [""; 0]);
    }

    #[test]
    fn other_headers_stay() {
        let others = [
            "host",
            "x-forwarded-user",
            "x-forwarded-forx",
            "xforwarded-for",
            "x-request-id",
            "via",
            "x1forwarded-for",
            "cookie",
            "content-type",
        ];
        assert_eq!(remaining(&others, &[]), others);
    }

    #[test]
    fn what_was_removed_is_there_for_a_later_fix_whatever_its_number() {
        let names = &PROTECTED_HEADERS[..10];
        let mut removed = Removed::default();
        for (index, name) in names.iter().enumerate() {
            removed.push(Name::Protected(byte(index)), HeaderValue::from_static(name));
        }
        let headers = HeaderMap::new();
        let claims =
            HeaderClaims { headers: &headers, scan: None, removed: Some(&removed), computed: &Vec::new() };
        for name in names {
            assert_eq!(claims.lines(name).collect::<Vec<_>>(), [name.as_bytes()]);
        }
    }

    #[test]
    fn t115_operators_add_their_own() {
        let long = format!("x-{}", "a".repeat(40));
        let sent = [&*long, &long.replacen('-', "_", 1), &long[1..]];
        assert_eq!(remaining(&sent, &[&long]), [&long[1..]]);
        let sent = ["X-Forwarded-User", "x_forwarded_user", "x-ssl-client-verify"];
        assert_eq!(remaining(&sent, &["X-Forwarded-User"]), ["x-ssl-client-verify"]);
        assert_eq!(remaining(&["X-Auth-User"], &["X_Auth_User"]), [""; 0]);
        assert_eq!(remaining(&["_user", "-user", ".user"], &["_User"]), [""; 0]);
        assert!(own_header("Host").is_err());
        assert!(own_header("Content_Length").is_err());
        assert!(own_header("a b").is_err());
    }
}
