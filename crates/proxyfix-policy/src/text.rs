//! Checked ASCII text, in place while it is short, and the machine that checks it.

use alloc::boxed::Box;
use alloc::string::String;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};

/// ASCII text that a grammar has admitted. Up to `N` bytes are held in place; compared, ordered and hashed as
/// its `str` is.
#[derive(Clone)]
pub(crate) struct Text<const N: usize>(Held<N>);

#[derive(Clone)]
enum Held<const N: usize> {
    InPlace { length: u8, bytes: [u8; N] },
    Heap(Box<str>),
}

impl<const N: usize> Text<N> {
    /// Holds `ascii`, which a grammar has checked.
    pub(crate) fn new(ascii: &[u8]) -> Self {
        let mut text = Self::default();
        match text.push(ascii) {
            Some(()) => text,
            None => Self::on_the_heap(ascii),
        }
    }

    /// Appends `ascii`, which a grammar has checked, if it fits in place.
    #[inline]
    pub(crate) fn push(&mut self, ascii: &[u8]) -> Option<()> {
        let Held::InPlace { length, bytes } = &mut self.0 else { return None };
        let start = usize::from(*length);
        let end = start + ascii.len();
        bytes.get_mut(start..end)?.copy_from_slice(ascii);
        *length = u8::try_from(end).ok()?;
        Some(())
    }

    #[cold]
    fn on_the_heap(ascii: &[u8]) -> Self {
        Self(Held::Heap(String::from_utf8_lossy(ascii).into()))
    }

    pub(crate) fn make_lower_case(&mut self) {
        match &mut self.0 {
            // All of the array: a fixed length is a few vector instructions.
            Held::InPlace { bytes, .. } => bytes.make_ascii_lowercase(),
            Held::Heap(text) => text.make_ascii_lowercase(),
        }
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Held::InPlace { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Held::Heap(text) => text.as_bytes(),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match &self.0 {
            // ASCII by construction, so the default never is.
            Held::InPlace { .. } => core::str::from_utf8(self.as_bytes()).unwrap_or_default(),
            Held::Heap(text) => text,
        }
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self(Held::InPlace { length: 0, bytes: [0; N] })
    }
}

/// Appends ASCII, as long as it fits in place.
impl<const N: usize> fmt::Write for Text<N> {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        self.push(more.as_bytes()).ok_or(fmt::Error)
    }
}

impl<const N: usize> PartialEq for Text<N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl<const N: usize> Eq for Text<N> {}

impl<const N: usize> PartialOrd for Text<N> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const N: usize> Ord for Text<N> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl<const N: usize> Hash for Text<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

/// A finite automaton of at most eleven states, which costs less than four instructions a byte and no branch: a state
/// is where its row begins, and no row and byte of it are beyond the table.
pub(crate) struct Machine([State; 11 * ROW]);

const ROW: usize = 256;

/// A state of a [`Machine`]; from the first one, in which it has refused the text, no way leads out.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum State {
    Refused = 0,
    S1 = 0x100,
    S2 = 0x200,
    S3 = 0x300,
    S4 = 0x400,
    S5 = 0x500,
    S6 = 0x600,
    S7 = 0x700,
    S8 = 0x800,
    S9 = 0x900,
    S10 = 0xA00,
}

impl Machine {
    pub(crate) const fn new() -> Self {
        Self([State::Refused; 11 * ROW])
    }

    /// The machine that goes from `from` to `to` on each of `bytes`, too.
    #[must_use]
    pub(crate) const fn with(mut self, from: State, bytes: &[u8], to: State) -> Self {
        let mut at = 0;
        while at < bytes.len() {
            self.0[from as usize + bytes[at] as usize] = to;
            at += 1;
        }
        self
    }

    /// The state after `text`.
    #[inline]
    pub(crate) fn run(&self, start: State, text: &[u8]) -> State {
        let step = |state, byte: &u8| self.0[state as usize + usize::from(*byte)];
        let (mut state, mut text) = (start, text);
        while let Some((block, rest)) = text.split_first_chunk::<8>() {
            state = block.iter().fold(state, step);
            text = rest;
        }
        text.iter().fold(state, step)
    }
}

pub(crate) const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
pub(crate) const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
pub(crate) const DIGITS: &[u8] = b"0123456789";
/// Every byte there is.
pub(crate) const ANY: &[u8] = &{
    let mut bytes = [u8::MAX; 256];
    let mut byte = 0;
    while byte < u8::MAX {
        bytes[byte as usize] = byte;
        byte += 1;
    }
    bytes
};

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use core::fmt::Write as _;
    use core::hash::BuildHasher;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_is_compared_ordered_and_hashed_as_its_str(a in "[ -~]{0,12}", b in "[ -~]{0,12}") {
            let (one, other) = (Text::<6>::new(a.as_bytes()), Text::<6>::new(b.as_bytes()));
            prop_assert_eq!((one.as_str(), one.as_bytes()), (a.as_str(), a.as_bytes()));
            prop_assert_eq!((one == other, one.cmp(&other)), (a == b, a.cmp(&b)));
            prop_assert!(one == one.clone());
            let hasher = std::hash::RandomState::new();
            prop_assert_eq!(hasher.hash_one(&one), hasher.hash_one(a.as_str()));
            let mut lower = one;
            lower.make_lower_case();
            prop_assert_eq!(lower.as_str(), a.to_ascii_lowercase());
        }
    }

    #[test]
    fn a_short_text_is_in_place_and_a_long_one_is_not() {
        for (text, inline) in [("", true), ("abcdef", true), ("abcdefg", false)] {
            let held = Text::<6>::new(text.as_bytes());
            assert_eq!(
                (held.as_str().to_string(), matches!(held.0, Held::InPlace { .. })),
                (text.into(), inline)
            );
        }
        assert!(Text::<6>::default() == Text::new(b""));
    }

    #[test]
    fn what_is_appended_fits_or_is_refused() {
        let mut text = Text::<6>::new(b"abc");
        assert!(text.write_str("def").is_ok() && text.as_str() == "abcdef");
        assert!(text.write_str("g").is_err() && text.as_str() == "abcdef");
    }
}
