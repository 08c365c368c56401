//! Law L9, bounded work: what a decision reads and what it allocates, whatever a client writes.
//!
//! Nothing here is measured in time. Allocations are counted by the allocator of this binary; the lines
//! of a header by the iterator that hands them out; and bytes by memory that the system does not
//! provide before it is touched.

use std::cell::Cell;

use allocation_counter::{AllocationInfo, measure};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proxyfix::{
    Claims, Ending, Family, Field, Origin, Outcome, Peer, Policy, Received, Refusal, TrustedProxies,
};

/// The lines of a request; counts those that are taken.
#[derive(Debug, Default)]
struct Lines<'a> {
    lines: Vec<(&'static str, &'a [u8])>,
    taken: Cell<usize>,
}

impl<'b> Lines<'b> {
    fn new(lines: impl IntoIterator<Item = (&'static str, &'b [u8])>) -> Self {
        Self { lines: lines.into_iter().collect(), taken: Cell::new(0) }
    }
}

impl Claims for Lines<'_> {
    fn lines<'a>(&'a self, name: &str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let name = self.lines.iter().map(|line| line.0).find(|other| *other == name);
        let lines = self.lines.iter().filter(move |line| Some(line.0) == name);
        lines.map(|line| line.1).inspect(|_| self.taken.set(self.taken.get() + 1))
    }
}

const CHAIN: &str = "x-forwarded-for";
const FORWARDED: &str = "forwarded";

fn trusted() -> TrustedProxies {
    "10.0.0.0/8".parse().unwrap()
}

/// Reads all fields that `family` has.
fn policy(family: &Family) -> Policy {
    let policy = Policy::builder(trusted()).family(family.clone());
    let fields: &[Field] = if *family == Family::XForwarded { &Field::ALL } else { &Field::ALL[..3] };
    policy.fields(fields.iter().copied()).build().unwrap()
}

fn proxy() -> Peer {
    "10.0.0.2".parse().unwrap()
}

fn decide(policy: &Policy, lines: &Lines<'_>) -> Origin {
    policy.decide(proxy(), Received::default(), lines).into()
}

/// What `work` allocates, and what it gives.
fn allocated<T>(work: impl FnOnce() -> T) -> (AllocationInfo, T) {
    let mut given = None;
    let info = measure(|| given = Some(work()));
    (info, given.unwrap())
}

// What is allocated

fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => select(b"\"\\[](),;:%=.-_/@ \t\x00\xff".as_slice()).prop_map(|byte| vec![byte]),
        4 => select(&["10.0.0.7", "203.0.113.9", "for=10.0.0.7", "for=\"", "proto=https", "https", "unknown"][..])
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => (any::<u8>(), 60..1300_usize).prop_map(|(byte, length)| vec![byte; length]),
        1 => select(&["10.0.0.7,", "for=10.0.0.7,", "a,"][..]).prop_map(|text| text.repeat(40).into_bytes()),
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1024) })]

    /// The walk allocates nothing.
    ///
    /// Red when: the lines are collected, or the steps.
    #[test]
    fn l9_the_walk_allocates_nothing(lines in vec(hostile(), 0..6), hops in proptest::option::of(1..=3_u8)) {
        let sets = [trusted(), TrustedProxies::dangerously_trust_every_peer()];
        let sets = sets.map(|set| hops.map_or(set.clone(), |hops| set.hops(hops).unwrap()));
        for set in sets {
            let (info, ending) = allocated(|| {
                let mut walk = set.walk(proxy(), lines.iter().map(Vec::as_slice));
                walk.by_ref().for_each(drop);
                walk.ending()
            });
            prop_assert!(ending.is_some());
            prop_assert_eq!(info.count_total, 0);
        }
    }

    /// A decision allocates for what it keeps, a host, a prefix and the steps beyond the fourth, and for
    /// the text of what was refused, which is short; for nothing else, and however much was sent.
    ///
    /// Red when: values are copied before they are read, or errors repeat what they refuse.
    #[test]
    fn l9_a_decision_allocates_what_it_keeps(
        lines in vec((select(vec![
            CHAIN, FORWARDED, "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix",
        ]), hostile()), 0..10),
    ) {
        let lines = Lines::new(lines.iter().map(|(name, line)| (*name, line.as_slice())));
        for family in [Family::XForwarded, Family::Forwarded] {
            let policy = policy(&family);
            let (info, origin) = allocated(|| decide(&policy, &lines));
            let most = most_allocated(&origin);
            prop_assert!(info.count_total <= most.0 && info.bytes_total <= most.1, "{info:?} {origin:?}");
            prop_assert!(info.bytes_total <= 16 << 10);
        }
    }
}

/// The allocations, and their bytes, that are explained by what `origin` keeps and by what was refused.
fn most_allocated(origin: &Origin) -> (u64, u64) {
    // A vector that grows to 4, 8, 16, 32.
    let steps = match origin.steps().count() {
        0..=4 => 0,
        kept => (kept - 4).div_ceil(4).next_power_of_two().ilog2() + 1,
    };
    let host = origin.host().map(|host| host.as_str().len());
    // Each is collected, 8 bytes at the least, and then cut to its length.
    let kept = [host.unwrap_or_default(), origin.prefix().as_str().len()]
        .map(|length| (length > 0).then_some(2 * length + 8));
    // The text of an error grows to 1024 bytes at the most.
    let malformed = |field: &Field| origin.outcome(*field) == Outcome::Refused(Refusal::Malformed);
    // A host is read again with underscores, for the sentence.
    let refused =
        Field::ALL.into_iter().filter(malformed).count() as u64 + u64::from(malformed(&Field::Host));
    let count = u64::from(steps) + 2 * kept.iter().flatten().count() as u64 + 8 * refused;
    let bytes = (u64::from(steps) << 11) + kept.iter().flatten().sum::<usize>() as u64 + (refused << 11);
    (count, bytes)
}

// Which lines are taken

/// Lines that end the reading where they are read, and lines that a reader may pass.
const JUNK: [&[u8]; 6] = [b"oops", b"\"", b"198.51.100.7", b"for=\"x", b"", b" , ,"];

/// A header of `before` lines of `junk`, and then those that proxies wrote.
fn taken(policy: &Policy, name: &'static str, (junk, before): (&[u8], usize), honest: &[&[u8]]) -> usize {
    let mut lines = Lines::new(vec![(name, junk); before]);
    lines.lines.extend(honest.iter().map(|line| (name, *line)));
    if !name.ends_with("ed-for") && name != FORWARDED {
        lines.lines.push((CHAIN, b"203.0.113.9"));
    }
    let origin = decide(policy, &lines);
    assert_eq!(origin.client(), Some("203.0.113.9".parse().unwrap()), "{name} {}", junk.escape_ascii());
    lines.taken.get()
}

/// Lines left of the client are not taken, however many they are; of a field's own header, whose values
/// are counted, no more than 33.
///
/// Red when: lines are counted, or searched for one that is not blank, from the left.
#[test]
fn l9_lines_on_the_left_are_not_taken() {
    let (x_forwarded, forwarded) = (policy(&Family::XForwarded), policy(&Family::Forwarded));
    for junk in JUNK {
        let chain: &[&[u8]] = &[b"203.0.113.9, 10.0.0.7", b"10.0.0.8"];
        let none = taken(&x_forwarded, CHAIN, (junk, 0), chain);
        // One more is asked for and not read: whether there is any.
        assert!(taken(&x_forwarded, CHAIN, (junk, 10_000), chain) <= none + 1);
        let elements: &[&[u8]] = &[b"for=203.0.113.9;proto=https, for=10.0.0.7", b"for=10.0.0.8"];
        let none = taken(&forwarded, FORWARDED, (junk, 0), elements);
        assert!(
            taken(&forwarded, FORWARDED, (junk, 10_000), elements) <= none + 1,
            "{}",
            junk.escape_ascii()
        );
        for field in [Field::Proto, Field::Host, Field::Port, Field::Prefix] {
            let taken =
                |before| taken(&x_forwarded, field.x_forwarded_name(), (junk, before), &[b"a.example"]);
            assert_eq!(taken(10_000), taken(100), "{field:?} {}", junk.escape_ascii());
        }
    }
}

/// Values that are read over, because they are blank, are read over once or a fixed number of times.
#[test]
fn t122_blank_values_are_read_over_in_linear_time() {
    for (family, name) in [(Family::XForwarded, CHAIN), (Family::Forwarded, FORWARDED)] {
        let policy = policy(&family);
        let taken = |number: usize| {
            let lines = Lines::new(vec![(name, &b""[..]); number]);
            assert_eq!(decide(&policy, &lines).ending(), Ending::HeaderAbsent);
            lines.taken.get()
        };
        assert!(taken(1000) <= 8 * 1000, "{name}: {}", taken(1000));
        assert!(taken(2000) <= 2 * taken(1000), "{name}");
    }
}

/// Nothing is remembered from one request to the next.
#[test]
fn t123_no_decision_is_kept() {
    let policy = policy(&Family::XForwarded);
    let entries: Vec<Vec<u8>> =
        (0..1000).map(|number| format!("{number:0>250}, 203.0.113.9").into_bytes()).collect();
    let requests: Vec<Lines<'_>> =
        entries.iter().map(|entry| Lines::new([(CHAIN, entry.as_slice())])).collect();
    let (info, ()) = allocated(|| {
        for request in &requests {
            assert_eq!(decide(&policy, request).ending(), Ending::ClientFound);
        }
    });
    assert_eq!((info.count_current, info.bytes_current, info.count_total), (0, 0, 0));
}

// Which bytes are read

/// Where the system tells which pages of its memory a process has touched.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod bytes {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use memmap2::MmapMut;
    use proxyfix::PolicyBuilder;

    use super::*;

    const PAGE: usize = 4 << 10;
    const HUGE_PAGE: usize = 2 << 20;

    /// Megabytes that end with a text. The system provides memory to whoever touches it, a page at a
    /// time, and the text begins where a page does: so that a look at the byte before it can be told.
    struct Line {
        memory: MmapMut,
        start: usize,
        end: usize,
    }

    impl Line {
        fn ending_with(text: &[u8]) -> Self {
            let mut memory = MmapMut::map_anon(8 * HUGE_PAGE).unwrap();
            let start = 4 * HUGE_PAGE - memory.as_ptr().addr() % HUGE_PAGE;
            let end = start + text.len();
            memory[start..end].copy_from_slice(text);
            let line = Self { memory, start, end };
            assert!(!line.is_touched(), "new memory is not touched");
            line
        }

        fn bytes(&self) -> &[u8] {
            &self.memory[..self.end]
        }

        /// Whether anything before the text was read.
        fn is_touched(&self) -> bool {
            let first = self.memory.as_ptr().addr() / PAGE;
            let mut pages = vec![0; self.start / PAGE * 8];
            File::open("/proc/self/pagemap").unwrap().read_exact_at(&mut pages, first as u64 * 8).unwrap();
            // The highest bits: present, swapped.
            pages.chunks(8).any(|page| page[7] & 0xC0 != 0)
        }
    }

    fn built(build: impl Fn(PolicyBuilder) -> PolicyBuilder) -> Policy {
        build(Policy::builder(trusted()).fields(Field::ALL)).build().unwrap()
    }

    /// Asserts that `policy` reads `text`, which ends the header `name`, and not a byte on its left; and
    /// that it would read on if the text were one byte shorter.
    #[track_caller]
    fn assert_reads(policy: &Policy, name: &'static str, text: &[u8]) {
        for (text, touched) in [(text, false), (&text[1..], true)] {
            let line = Line::ending_with(text);
            let mut lines = Lines::new([(name, line.bytes())]);
            if policy.header(Field::For) != Some(name) {
                lines.lines.push((CHAIN, b"203.0.113.9"));
            }
            let origin = decide(policy, &lines);
            assert_eq!(line.is_touched(), touched, "{name}: {} {origin}", text.escape_ascii());
        }
    }

    /// `length` bytes without a separator, and then `text`.
    fn endless(length: usize, text: &str) -> Vec<u8> {
        [&vec![b'x'; length], text.as_bytes()].concat()
    }

    /// What trusted hops wrote is read, and one entry more, of which no more than an entry may have: 64
    /// bytes and the one that is too much. 32 hops are passed.
    ///
    /// Red when: the window of an entry is wider, or the hop behind the client is read.
    #[test]
    fn l9_of_the_chain_the_trusted_suffix_is_read_and_one_entry() {
        let policy = built(|policy| policy);
        assert_reads(&policy, CHAIN, b", 203.0.113.9");
        assert_reads(&policy, CHAIN, b",203.0.113.9, 10.0.0.7 ,10.0.0.8");
        assert_reads(&policy, CHAIN, b",oops");
        assert_reads(&policy, CHAIN, b",,10.0.0.7");
        assert_reads(&policy, CHAIN, &endless(65, ""));
        assert_reads(&policy, CHAIN, &endless(65, ",10.0.0.7"));
        assert_reads(&policy, CHAIN, ",10.0.0.7".repeat(33).as_bytes());
        let one = built(|policy| policy.count(Field::For, 1));
        assert_reads(&one, CHAIN, b",10.0.0.7");
    }

    /// The same of the elements of `Forwarded`, which have 512 bytes at the most.
    ///
    /// Red when: quotes are read from the left; the header is searched from the left for a byte that is
    /// not blank.
    #[test]
    fn l9_of_forwarded_the_trusted_suffix_is_read_and_one_element() {
        let policy = policy(&Family::Forwarded);
        let chain = FORWARDED;
        assert_reads(&policy, chain, b", for=203.0.113.9;proto=https;host=\"a\\\"b,c\"");
        assert_reads(&policy, chain, b",for=203.0.113.9;proto=https, for=10.0.0.7 ,for=\"10.0.0.8\"");
        assert_reads(&policy, chain, b",oops");
        assert_reads(&policy, chain, &endless(513, ""));
        assert_reads(&policy, chain, &endless(513, ",for=10.0.0.7"));
        assert_reads(&policy, chain, &[&[b'"'; 513], &b",for=10.0.0.7"[..]].concat());
        assert_reads(&policy, chain, ",for=10.0.0.7".repeat(33).as_bytes());
    }

    /// Of the other fields no more values are read than may align, and one; of a value, 1100 bytes.
    ///
    /// Red when: all values are counted.
    #[test]
    fn l9_of_other_fields_a_bounded_number_of_bounded_values_is_read() {
        for field in [Field::Proto, Field::Host, Field::Port, Field::Prefix] {
            let name = field.x_forwarded_name();
            let aligned = built(|policy| policy);
            assert_reads(&aligned, name, &endless(1101, ",x"));
            assert_reads(&aligned, name, ",x".repeat(34).as_bytes());
            let counted = built(|policy| policy.count(field, 1));
            assert_reads(&counted, name, b",x");
            let single = Policy::builder(trusted()).single(field, "x-own").build().unwrap();
            assert_reads(&single, "x-own", &endless(1101, ""));
            assert_reads(&single, "x-own", &endless(1101, ",x"));
        }
        let single = Policy::builder(trusted()).family(Family::Single("x-real-ip".into())).build().unwrap();
        assert_reads(&single, "x-real-ip", &endless(65, ""));
        // Of several, the first is looked at again, for the sentence.
        assert_reads(&single, "x-real-ip", &endless(1101, ",203.0.113.9"));
    }

    /// However a header is made, no more than its last 40 000 bytes are read: what a decision costs does
    /// not grow with it.
    #[test]
    fn t122_no_pattern_makes_more_of_a_header_be_read() {
        let alphabet = b"\"\\,;:=[]().%x1";
        let alone = alphabet.iter().map(|byte| vec![*byte]);
        let pairs = alphabet.iter().flat_map(|a| alphabet.iter().map(|b| vec![*a, *b]));
        // Nothing but separators is read over.
        let patterns = alone.chain(pairs).filter(|pattern| pattern.iter().any(|byte| *byte != b','));
        for pattern in patterns {
            let text = pattern.repeat(40_000 / pattern.len());
            for (family, fields) in
                [(Family::XForwarded, &Field::ALL[..]), (Family::Forwarded, &[Field::For])]
            {
                let line = Line::ending_with(&text);
                let names = fields.iter().map(|field| match family {
                    Family::Forwarded => FORWARDED,
                    _ => field.x_forwarded_name(),
                });
                decide(&policy(&family), &Lines::new(names.map(|name| (name, line.bytes()))));
                assert!(!line.is_touched(), "{family:?} {}", pattern.escape_ascii());
            }
        }
    }
}
