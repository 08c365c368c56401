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

impl Entry<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Text([]))
    }
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

impl<I> Entries<'_, I> {
    /// Whether anything stands further left, found out without reading it.
    pub(crate) fn has_more<'a>(&mut self) -> bool
    where
        I: DoubleEndedIterator<Item = &'a [u8]>,
    {
        self.line.map_or_else(|| self.lines.next_back().is_some(), |line| !line.is_empty())
    }

    /// The line of the entry handed out last, 1 the last line.
    pub(crate) fn line_number(&self) -> usize {
        self.line_number
    }
}

impl<'a, I> Iterator for Entries<'a, I>
where
    I: DoubleEndedIterator<Item = &'a [u8]>,
{
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let line = if let Some(line) = self.line.take() {
            line
        } else {
            let line = self.lines.next_back()?;
            self.line_number += 1;
            line
        };
        let line = trim_end(line);
        let (before, entry) = match self.quoting {
            Quoting::None => last_entry(line, self.longest),
            Quoting::Quoted => last_element(line, self.longest),
        };
        self.line = before;
        Some(entry.map_or(Entry::TooLong, |entry| Entry::Text(trim(entry))))
    }
}

/// What stands before the last separator, and what behind it; no entry where that is too long.
type Split<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// The last entry of a line without white space at its end. White space before the entry does not
/// count toward its length: whether a line or a run of spaces parts it from the next is the same.
fn last_entry(line: &[u8], longest: usize) -> Split<'_> {
    let (left, window) = line.split_at(line.len().saturating_sub(longest));
    if let Some(comma) = window.iter().rposition(|byte| *byte == b',') {
        return (Some(&line[..left.len() + comma]), Some(&window[comma + 1..]));
    }
    match trim_end(left) {
        [] => (None, Some(window)),
        [before @ .., b','] => (Some(before), Some(window)),
        // Nothing further left is readable; the line is kept, so that it stays so.
        _ => (Some(line), None),
    }
}

/// The last element of a line: commas inside quoted strings do not separate.
fn last_element(line: &[u8], longest: usize) -> Split<'_> {
    let (left, window) = line.split_at(line.len().saturating_sub(longest.saturating_add(1)));
    match last_comma_outside_quotes(window) {
        Some(comma) => (Some(&line[..left.len() + comma]), Some(&window[comma + 1..])),
        None if line.len() > longest => (Some(line), None),
        None => (None, Some(line)),
    }
}

/// Only SP and HTAB are white space (RFC 9110 section 5.6.3).
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    trim_start(trim_end(text))
}

pub(crate) fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

fn trim_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// Scans from the right. Outside quotes, a quote closes a string that began further left; inside, a
/// quote behind an even number of backslashes is where it began.
fn last_comma_outside_quotes(line: &[u8]) -> Option<usize> {
    let mut inside = false;
    for (index, byte) in line.iter().enumerate().rev() {
        match byte {
            b'"' if inside => inside = is_escaped(line, index),
            b'"' => inside = true,
            b',' if !inside => return Some(index),
            _ => {}
        }
    }
    None
}

fn is_escaped(line: &[u8], index: usize) -> bool {
    line[..index].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

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
}
