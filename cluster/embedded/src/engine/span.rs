//! Which keys a request means: one, those between two, or all from one on.

use std::ops::Bound;

/// A key and a range end, as etcd reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span<'a> {
    /// The one key.
    One(&'a [u8]),
    /// From the first, before the second; none where the second is not greater.
    Between(&'a [u8], &'a [u8]),
    /// This key and all after it: the range end is one zero byte.
    From(&'a [u8]),
}

/// Bounds for an ordered map.
pub(crate) type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

impl<'a> Span<'a> {
    /// Reads a key and its range end; an empty end means the one key.
    pub(crate) fn new(key: &'a [u8], range_end: &'a [u8]) -> Self {
        match range_end {
            [] => Self::One(key),
            [0] => Self::From(key),
            end => Self::Between(key, end),
        }
    }

    /// Whether the key is meant.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        match *self {
            Self::One(only) => key == only,
            Self::Between(first, end) => first <= key && key < end,
            Self::From(first) => first <= key,
        }
    }

    /// The bounds, or none where no key can be meant.
    pub(crate) fn bounds(&self) -> Option<Bounds<'a>> {
        match *self {
            Self::One(only) => Some((Bound::Included(only), Bound::Included(only))),
            Self::Between(first, end) if first < end => {
                Some((Bound::Included(first), Bound::Excluded(end)))
            }
            Self::Between(..) => None,
            Self::From(first) => Some((Bound::Included(first), Bound::Unbounded)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_ends_are_read_as_etcd_does() {
        type Keys = &'static [&'static [u8]];
        let table: &[(&[u8], &[u8], Keys, Keys)] = &[
            (b"b", b"", &[b"b"], &[b"a", b"ba", b"c"]),
            (b"b", b"d", &[b"b", b"bz", b"c"], &[b"a", b"d"]),
            (b"b", b"\0", &[b"b", b"\xff"], &[b"a"]),
            (b"b", b"a", &[], &[b"a", b"b"]),
            (b"\0", b"\0", &[b"\0", b"a"], &[]),
        ];
        for (key, end, inside, outside) in table {
            let span = Span::new(key, end);
            assert!(inside.iter().all(|key| span.contains(key)), "{span:?}");
            assert!(!outside.iter().any(|key| span.contains(key)), "{span:?}");
            assert_eq!(span.bounds().is_none(), inside.is_empty());
        }
    }
}
