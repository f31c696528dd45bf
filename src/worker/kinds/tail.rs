//! Keeps the end of a stream of any length in a fixed amount of memory. Never holds more than twice
//! what it keeps.

/// The last bytes of a stream.
#[derive(Debug)]
pub(crate) struct Tail {
    bytes: Vec<u8>,
    keep: usize,
    cut: bool,
}

impl Tail {
    pub(crate) fn new(keep: usize) -> Self {
        Self {
            bytes: Vec::new(),
            keep,
            cut: false,
        }
    }

    pub(crate) fn push(&mut self, new: &[u8]) {
        let new = match new.len().checked_sub(self.keep) {
            None | Some(0) => new,
            Some(over) => {
                self.cut = true;
                self.bytes.clear();
                &new[over..]
            }
        };
        // Trimmed only once it has doubled, so that many small writes do not each move the whole
        // tail.
        if self.bytes.len() + new.len() > 2 * self.keep {
            self.trim();
        }
        self.bytes.extend_from_slice(new);
    }

    /// The tail as text of at most `keep` bytes, and whether anything before it was dropped. What
    /// is not UTF-8 is replaced; a character that the cut went through is dropped.
    pub(crate) fn finish(mut self) -> (String, bool) {
        self.trim();
        let torn = if self.cut {
            self.bytes
                .iter()
                .take(3)
                .take_while(|byte| (0x80..0xc0).contains(*byte))
                .count()
        } else {
            0
        };
        let mut text = String::from_utf8_lossy(&self.bytes[torn..]).into_owned();
        // The replacement character takes three bytes, so what came in small enough may have grown.
        if text.len() > self.keep {
            self.cut = true;
            let from = text.ceil_char_boundary(text.len() - self.keep);
            text.drain(..from);
        }
        (text, self.cut)
    }

    fn trim(&mut self) {
        if let Some(over @ 1..) = self.bytes.len().checked_sub(self.keep) {
            self.cut = true;
            self.bytes.drain(..over);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tail_of(keep: usize, pushes: &[&[u8]]) -> (String, bool) {
        let mut tail = Tail::new(keep);
        for push in pushes {
            tail.push(push);
        }
        tail.finish()
    }

    #[test]
    fn the_end_is_kept_and_the_cut_is_told() {
        assert_eq!(tail_of(4, &[b"ab", b"cd"]), ("abcd".into(), false));
        assert_eq!(tail_of(4, &[b"ab", b"cd", b"e"]), ("bcde".into(), true));
        assert_eq!(tail_of(4, &[b"abcdefgh"]), ("efgh".into(), true));
        assert_eq!(tail_of(4, &[]), (String::new(), false));
        assert_eq!(tail_of(0, &[b"x"]), (String::new(), true));
    }

    #[test]
    fn a_character_that_was_cut_through_is_dropped_and_bytes_that_are_no_text_are_replaced() {
        assert_eq!(tail_of(4, &["aéé€".as_bytes()]), ("€".into(), true));
        assert_eq!(tail_of(8, &[b"a\xffb"]), ("a\u{fffd}b".into(), false));
        assert_eq!(
            tail_of(4, &[b"\xff\xff\xff\xff"]),
            ("\u{fffd}".into(), true)
        );
    }

    proptest! {
        #[test]
        fn however_it_is_written_the_last_bytes_are_kept(
            text in "[a-z]{0,64}", keep in 0usize..32,
            pieces in prop::collection::vec(1usize..20, 1..40),
        ) {
            let mut tail = Tail::new(keep);
            let mut rest = text.as_bytes();
            for piece in pieces.iter().cycle() {
                if rest.is_empty() { break; }
                let (now, later) = rest.split_at((*piece).min(rest.len()));
                tail.push(now);
                prop_assert!(tail.bytes.len() <= 2 * keep);
                rest = later;
            }
            let (kept, cut) = tail.finish();
            prop_assert_eq!(&kept, &text[text.len().saturating_sub(keep)..]);
            prop_assert_eq!(cut, text.len() > keep);
        }
    }
}
