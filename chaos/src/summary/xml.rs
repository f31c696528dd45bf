//! Text in XML and HTML.

/// The text with what means something in XML taken away its meaning, for elements and for attributes in double quotes.
/// Control characters, which XML cannot have at all, become spaces.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(one),
            '\u{fffe}' | '\u{ffff}' => escaped.push(' '),
            _ if one.is_control() => escaped.push(' '),
            _ => escaped.push(one),
        }
    }
    escaped
}
