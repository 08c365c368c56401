//! Lists, read from the right.
//!
//! The list of a forwarding header grows to the right: what stands at the right end was written by
//! the nearest proxy, what stands at the left by nobody knows whom. Reading from the right, and no
//! further than needed, is what keeps the left without influence: no open quote, no bad byte and no
//! amount of text there can change how the right is split.

/// How a list is split into entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quoting {
    /// Every comma separates: `X-Forwarded-For` has no quoted strings.
    None,
    /// Commas inside quoted strings (RFC 9110 section 5.6.4) do not separate: `Forwarded`.
    Quoted,
}

/// One entry of a list, without the white space around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry<'a> {
    Text(&'a [u8]),
    /// More bytes without a separator than an entry may have; nothing can be read beyond it.
    TooLong,
}

/// The entries of all field lines, the last one of the last line first.
///
/// A line of n separators has n + 1 entries; an empty line is one empty entry. Lines are split each
/// on its own: a quoted string never extends into another line.
#[derive(Clone)]
pub(crate) struct Entries<'a, I> {
    lines: I,
    line: Option<&'a [u8]>,
    line_number: usize,
    quoting: Quoting,
    longest: usize,
}

impl<'a, I> Entries<'a, I>
where
    I: DoubleEndedIterator<Item = &'a [u8]>,
{
    /// `longest` is the most bytes that an entry may have; white space around it does not count.
    pub(crate) fn new(lines: I, quoting: Quoting, longest: usize) -> Self {
        Self { lines, line: None, line_number: 0, quoting, longest }
    }
}

impl<'a, I> Entries<'a, I> {
    /// Whether anything stands further left, found out without reading it.
    pub(crate) fn has_more(&mut self) -> bool
    where
        I: DoubleEndedIterator<Item = &'a [u8]>,
    {
        self.line.map_or_else(|| self.lines.next_back().is_some(), |line| !line.is_empty())
    }

    /// The next entry that is not empty. Thousands of empty ones are passed by blocks.
    pub(crate) fn next_filled(&mut self) -> Option<Entry<'a>>
    where
        I: DoubleEndedIterator<Item = &'a [u8]>,
    {
        loop {
            let line = trim_blank_end(self.next_line()?);
            if !line.is_empty() {
                self.line = Some(line);
                return self.next();
            }
        }
    }

    /// The line of the entry handed out last, 1 the last line.
    pub(crate) fn line_number(&self) -> usize {
        self.line_number
    }

    /// What was not read of a line, or the next one.
    fn next_line(&mut self) -> Option<&'a [u8]>
    where
        I: DoubleEndedIterator<Item = &'a [u8]>,
    {
        if let Some(line) = self.line.take() {
            return Some(line);
        }
        let line = self.lines.next_back()?;
        self.line_number += 1;
        Some(line)
    }
}

impl<'a, I> Iterator for Entries<'a, I>
where
    I: DoubleEndedIterator<Item = &'a [u8]>,
{
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        let line = trim_end(self.next_line()?);
        let (before, entry) = match self.quoting {
            Quoting::None => last_entry(line, self.longest),
            Quoting::Quoted => last_element(line, self.longest),
        };
        self.line = before;
        let Some(entry) = entry else {
            // Nothing further left is readable; that is not to be found out again byte by byte.
            self.longest = 0;
            return Some(Entry::TooLong);
        };
        Some(Entry::Text(trim_start(entry)))
    }
}

/// What stands before the last separator, and what behind it; no entry where that is too long.
type Split<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// The last entry of a line without white space at its end. White space before the entry does not
/// count toward its length: whether a line or a run of spaces parts it from the next is the same.
#[inline]
pub(crate) fn last_entry(line: &[u8], longest: usize) -> Split<'_> {
    let (left, window) = line.split_at(line.len().saturating_sub(longest));
    if let Some(comma) = last_of(window, [b',']) {
        return (Some(&line[..left.len() + comma]), Some(&window[comma + 1..]));
    }
    match trim_end(left) {
        [] => (None, Some(window)),
        [before @ .., b','] => (Some(before), Some(window)),
        // The line is kept, so that nothing further left becomes readable.
        _ => (Some(line), None),
    }
}

/// The last element of a line: commas inside quoted strings do not separate.
#[inline(never)]
fn last_element(line: &[u8], longest: usize) -> Split<'_> {
    let (left, window) = line.split_at(line.len().saturating_sub(longest.saturating_add(1)));
    match last_comma_outside_quotes(window) {
        Some(comma) => (Some(&line[..left.len() + comma]), Some(&window[comma + 1..])),
        None if line.len() > longest => (Some(line), None),
        None => (None, Some(line)),
    }
}

/// Only SP and HTAB are white space (RFC 9110 section 5.6.3).
pub(crate) fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

pub(crate) fn trim_end(text: &[u8]) -> &[u8] {
    match text {
        [.., b' ' | b'\t'] => without_end(text, *b" \t"),
        _ => text,
    }
}

/// Whether a line holds nothing but white space and separators. Looked for from the right, as everything is.
pub(crate) fn is_blank_line(line: &[u8]) -> bool {
    trim_blank_end(line).is_empty()
}

/// The line without the empty entries at its end.
fn trim_blank_end(line: &[u8]) -> &[u8] {
    match line {
        [.., b',' | b' ' | b'\t'] => without_end(line, *b", \t"),
        _ => line,
    }
}

/// The text without the bytes at its end that are to be left out.
///
/// Where there are many, 16 are read at a time, and 64 where all are the first of those to be left out: 8 KiB
/// of commas take some 2 500 instructions, not 30 000. No more is read than an entry may have besides.
#[cold]
fn without_end<const N: usize>(text: &[u8], left_out: [u8; N]) -> &[u8] {
    let is_out = |byte: u8| left_out.iter().fold(0, |any, out| any | u8::from(byte == *out));
    let (mut text, mut passed) = (text, 0);
    while let [before @ .., last] = text {
        if is_out(*last) == 0 {
            return text;
        }
        text = before;
        passed += 1;
        if passed == 16 {
            break;
        }
    }
    let mut left = text.len();
    for block in text.rchunks_exact(64) {
        if block.iter().fold(0, |others, byte| others | byte ^ left_out[0]) != 0 {
            break;
        }
        left -= block.len();
    }
    text = &text[..left];
    while let Some((before, block)) = text.split_last_chunk::<16>() {
        if block.iter().fold(1, |all, byte| all & is_out(*byte)) == 0 {
            break;
        }
        text = before;
    }
    while let [before @ .., last] = text {
        if is_out(*last) == 0 {
            break;
        }
        text = before;
    }
    text
}

/// Scans from the right. Outside quotes, a quote closes a string that began further left; inside, a
/// quote behind an even number of backslashes is where it began.
fn last_comma_outside_quotes(line: &[u8]) -> Option<usize> {
    let mut end = line.len();
    loop {
        end = last_of(&line[..end], [b',', b'"'])?;
        if line[end] == b',' {
            return Some(end);
        }
        loop {
            end = last_of(&line[..end], [b'"'])?;
            if !is_escaped(line, end) {
                break;
            }
        }
    }
}

/// No backslash is counted twice: the next quote stands further left than all that are counted.
fn is_escaped(line: &[u8], index: usize) -> bool {
    line[..index].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// Where the last byte stands that is one of `wanted`.
///
/// Eight are looked at in a row, which saves half of what a loop takes; not as one word, because bytes on
/// the left of what is looked for are not to be read.
fn last_of<const N: usize>(text: &[u8], wanted: [u8; N]) -> Option<usize> {
    let mut text = text;
    while let Some((before, block)) = text.split_last_chunk::<8>() {
        for (index, byte) in block.iter().enumerate().rev() {
            if wanted.contains(byte) {
                return Some(before.len() + index);
            }
        }
        text = before;
    }
    text.iter().rposition(|byte| wanted.contains(byte))
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use proptest::collection::vec as many;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    #[track_caller]
    fn assert_entries(quoting: Quoting, lines: &[&str], expected: &[&str]) {
        let read: Vec<String> = Entries::new(lines.iter().map(|line| line.as_bytes()), quoting, 64)
            .take(20)
            .map(|entry| match entry {
                Entry::Text(text) => String::from_utf8_lossy(text).into_owned(),
                Entry::TooLong => "TOO LONG".into(),
            })
            .take_while(|entry| entry != "TOO LONG")
            .collect();
        assert_eq!(read, expected, "{lines:?}");
    }

    #[test]
    fn the_last_entry_comes_first() {
        assert_entries(Quoting::None, &["a, b", "c ,\td"], &["d", "c", "b", "a"]);
        assert_entries(Quoting::None, &["a", "", ",b,"], &["", "b", "", "", "a"]);
        assert_entries(Quoting::None, &[], &[]);
    }

    #[test]
    fn t25_x_forwarded_for_has_no_quotes() {
        assert_entries(Quoting::None, &["\"198.51.100.7, 203.0.113.9"], &["203.0.113.9", "\"198.51.100.7"]);
    }

    #[test]
    fn t54_t55_quotes_are_read_from_the_right() {
        assert_entries(
            Quoting::Quoted,
            &[r#"for="_a, for=127.0.0.1", for=203.0.113.9"#],
            &["for=203.0.113.9", r#"for="_a, for=127.0.0.1""#],
        );
        assert_entries(Quoting::Quoted, &[r#"for="x, for=1.1.1.1"#], &["for=1.1.1.1", r#"for="x"#]);
        assert_entries(
            Quoting::Quoted,
            &[r#"for=", for="[::1]""#, r#"for="a\"b,c""#],
            &[r#"for="a\"b,c""#, r#"for="[::1]""#, r#"for=""#],
        );
        assert_entries(
            Quoting::Quoted,
            &[r#"a="\\", b"#, r#"a="\", b"#],
            &["b", r#"a="\""#, "b", r#"a="\\""#],
        );
    }

    #[test]
    fn an_endless_entry_stops_the_reading() {
        let long = "x".repeat(65);
        for quoting in [Quoting::None, Quoting::Quoted] {
            assert_entries(quoting, &["1.1.1.1", &long], &[]);
            assert_entries(quoting, &[&long[..64]], &[&long[..64]]);
        }
        let spaces = " ".repeat(1000);
        let wide = alloc::format!("1.1.1.1,{spaces}2.2.2.2{spaces},\t{spaces}3.3.3.3{spaces}");
        assert_entries(Quoting::None, &[&wide], &["3.3.3.3", "2.2.2.2", "1.1.1.1"]);
        assert_entries(Quoting::None, &[&alloc::format!("{spaces}1.1.1.1"), &spaces], &["", "1.1.1.1"]);
        assert_entries(Quoting::None, &[&alloc::format!("1.1.1.1{spaces}2.2.2.2")], &[]);
        let line = alloc::format!("{long},2.2.2.2");
        assert_entries(Quoting::None, &[&line], &["2.2.2.2"]);
    }

    /// Reads byte by byte what is read in steps.
    mod plainly {
        pub(super) fn trim_end(mut text: &[u8]) -> &[u8] {
            while let [rest @ .., b' ' | b'\t'] = text {
                text = rest;
            }
            text
        }

        pub(super) fn last_comma(line: &[u8], quoted: bool) -> Option<usize> {
            let escaped =
                |index| line[..index].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1;
            let mut inside = false;
            for (index, byte) in line.iter().enumerate().rev() {
                match byte {
                    b'"' if inside => inside = escaped(index),
                    b'"' if quoted => inside = true,
                    b',' if !inside => return Some(index),
                    _ => {}
                }
            }
            None
        }
    }

    /// Lines with runs of what has a meaning, of any length.
    fn lines() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let piece = prop_oneof![
            4 => (select(b",\"\\ \tx=;\xff\xac\x2d\x21".as_slice()), 0..20_usize),
            1 => (select(b", \tx\"\\".as_slice()), 0..300_usize),
        ];
        let line = many(piece, 0..9).prop_map(|runs| {
            runs.into_iter().flat_map(|(byte, length)| core::iter::repeat_n(byte, length)).collect()
        });
        many(line, 0..4)
    }

    proptest! {
        #[test]
        fn steps_and_bytes_read_the_same(lines in lines()) {
            for line in &lines {
                prop_assert_eq!(trim_end(line), plainly::trim_end(line));
                prop_assert_eq!(last_of(line, [b',']), plainly::last_comma(line, false));
                prop_assert_eq!(last_comma_outside_quotes(line), plainly::last_comma(line, true));
                let blank = line.iter().all(|byte| matches!(byte, b',' | b' ' | b'\t'));
                prop_assert_eq!(is_blank_line(line), blank);
            }
        }

        /// Passing many empty entries at once passes those that are read one by one.
        #[test]
        fn the_next_filled_entry_is_the_next_that_is_not_empty(lines in lines(), skipped in 0..4_usize) {
            for (quoting, longest) in [(Quoting::None, 64), (Quoting::Quoted, 512), (Quoting::None, 1100)] {
                let mut at_once = Entries::new(lines.iter().map(Vec::as_slice), quoting, longest);
                at_once.by_ref().take(skipped).for_each(drop);
                let mut one_by_one = at_once.clone();
                for _ in 0..9 {
                    let expected = one_by_one.find(|entry| *entry != Entry::Text(b""));
                    prop_assert_eq!(at_once.next_filled(), expected);
                    prop_assert_eq!(at_once.line_number(), one_by_one.line_number());
                    prop_assert_eq!(at_once.has_more(), one_by_one.has_more());
                }
            }
        }

        /// What is too long stays so, and everything on its left is out of reach.
        #[test]
        fn nothing_is_read_behind_an_endless_entry(lines in lines()) {
            for (quoting, longest) in [(Quoting::None, 64), (Quoting::Quoted, 512)] {
                let mut entries = Entries::new(lines.iter().map(Vec::as_slice), quoting, longest);
                let all: Vec<_> = entries.by_ref().take(10_000).skip_while(|it| *it != Entry::TooLong).collect();
                prop_assert!(all.iter().all(|entry| *entry == Entry::TooLong));
                prop_assert!(all.is_empty() || entries.has_more());
            }
        }
    }
}
