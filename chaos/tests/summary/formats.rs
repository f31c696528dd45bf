//! That each format is what it says it is, and tells what it should.

use resvg::usvg::roxmltree::{Document, Node};
use tenure_chaos::check::Property;
use tenure_chaos::summary::{self, RunFacts, Summary, html, json, junit, plot, png, text};

use super::{EVIL, failing, passing};

fn elements<'a>(document: &'a Document<'a>, name: &str) -> Vec<Node<'a, 'a>> {
    let all = document.descendants();
    all.filter(|node| node.has_tag_name(name)).collect()
}

#[test]
fn json_comes_back_as_it_was() {
    for summary in [passing(), failing(), Summary::of(RunFacts::default(), &[])] {
        let back: Summary = serde_json::from_str(&json(&summary)).unwrap();
        assert_eq!(back, summary);
    }
}

#[test]
fn junit_has_a_case_for_each_property() {
    let xml = junit(&failing());
    let document = Document::parse(&xml).unwrap();
    let cases = elements(&document, "testcase");
    assert_eq!(cases.len(), Property::ALL.len());
    let suite = document.root_element();
    let failures = elements(&document, "failure");
    assert_eq!(
        (suite.attribute("failures"), failures.len()),
        (Some("1"), 1)
    );
    assert_eq!(
        failures[0].parent().unwrap().attribute("name"),
        Some("one-acting-leader")
    );
    assert!(failures[0].text().unwrap().contains("a claim by term 4"));
    let skipped = elements(&document, "skipped").len().to_string();
    assert_eq!(suite.attribute("skipped"), Some(skipped.as_str()));
    assert!(suite.attribute("name").unwrap().contains("<b>\"a\" & 'b'"));
}

#[test]
fn the_picture_is_well_formed_and_shows_who_led_and_what_was_broken() {
    let summary = failing();
    let svg = plot(&summary);
    let namespace = "http://www.w3.org/2000/svg";
    let document = Document::parse(&svg).unwrap();
    let of_class = |class: &str| {
        let all = document.descendants();
        let own = all.filter(|node| node.attribute("class") == Some(class));
        own.count()
    };
    assert_eq!(
        document.root_element().tag_name().namespace(),
        Some(namespace)
    );
    let failovers: usize = summary
        .tracks
        .iter()
        .map(|track| track.failovers.kept.len())
        .sum();
    assert_eq!(of_class("p-dot"), failovers + 1, "and one in the legend");
    assert!(of_class("p-gap") > 1 && of_class("p-fault") > 1 && of_class("p-maybe") > 0);
    assert!(of_class("p-cut") > 0, "chapters are parted");
    assert_eq!(of_class("p-bound"), 2);
    let words: String = document
        .descendants()
        .filter_map(|node| node.text())
        .collect();
    assert!(words.contains("leader-kill") && !words.contains("clock-skew"));
}

#[test]
fn places_in_the_picture_are_within_it() {
    for summary in [passing(), failing(), Summary::of(RunFacts::default(), &[])] {
        let svg = plot(&summary);
        let document = Document::parse(&svg).unwrap();
        let root = document.root_element();
        let side = |node: Node<'_, '_>, name: &str| {
            let value = node.attribute(name).unwrap_or("0");
            value.parse::<f64>().unwrap()
        };
        for node in root.children().filter(Node::is_element) {
            let right = side(node, "x") + side(node, "width");
            let bottom = side(node, "y").max(side(node, "cy")) + side(node, "height");
            assert!(right <= side(root, "width") + 0.2, "{node:?}");
            assert!(bottom <= side(root, "height"), "{node:?}");
        }
    }
}

#[test]
fn pixels_decode_and_have_letters() {
    let pixels = png(&plot(&passing())).unwrap();
    let picture = resvg::tiny_skia::Pixmap::decode_png(&pixels).unwrap();
    assert_eq!(picture.width(), 2_400);

    let words = |inside: &str| {
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"90\" height=\"30\">\
             <text x=\"5\" y=\"20\" font-family=\"system-ui,sans-serif\">{inside}</text></svg>"
        );
        png(&svg).unwrap()
    };
    assert_ne!(words("led"), words(""), "there is a font");
    assert!(png("<svg").is_err());
}

#[test]
fn the_page_needs_nothing_and_lets_nothing_in() {
    let page = html(&failing());
    for word in ["<script", "<link", "@import", "src=", "<b>\"", "&amp;amp;"] {
        assert!(!page.contains(word), "{word}");
    }
    // The namespace is a name, not an address.
    let named = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!named.contains("http://") && !named.contains("https://"));
    assert!(page.contains("&lt;b&gt;&quot;a&quot; &amp; &#39;b&#39; &lt;/b&gt;"));
    let at = |word: &str| page.find(word).unwrap_or_else(|| panic!("{word}"));
    assert!(at("FAIL</p>") < at("First violation"));
    assert!(at("First violation") < at("<h2>Promises"));
    assert!(at("P10</td>") < at("<svg"));
    assert!(at("data:image/png;base64,") < at("How long it took"));
    assert!(page.contains("no permission to set a clock here"));
}

#[test]
fn the_page_closes_what_it_opens() {
    let page = html(&failing());
    for name in [
        "section", "table", "tr", "td", "dl", "ul", "div", "svg", "figure", "main",
    ] {
        let opened =
            page.matches(&format!("<{name}>")).count() + page.matches(&format!("<{name} ")).count();
        assert_eq!(
            opened,
            page.matches(&format!("</{name}>")).count(),
            "{name}"
        );
    }
}

#[test]
fn text_says_the_verdict_first_in_100_columns() {
    let told = text(&failing());
    assert!(told.starts_with("FAIL  A promise was broken.\n"), "{told}");
    let long = told.lines().filter(|line| line.chars().count() > 100);
    assert_eq!(long.collect::<Vec<_>>(), Vec::<&str>::new());
    for words in [
        "P3   one leader acts           VIOLATED",
        "first violation: one-acting-leader (P3), chapter 2",
        "report.html",
        "leader-kill",
        "no permission to set a clock here",
        "failover from crash",
    ] {
        assert!(told.contains(words), "{words}\n{told}");
    }
    assert!(
        !told.contains('\u{1}'),
        "control characters would reach the terminal"
    );
    assert!(text(&passing()).starts_with("PASS  "));
}

#[test]
fn all_reports_are_written() {
    let directory = tempfile::tempdir().unwrap();
    summary::write_all(directory.path(), &failing()).unwrap();
    for name in [
        "report.html",
        "report.json",
        "report.txt",
        "junit.xml",
        "plot.svg",
        "plot.png",
    ] {
        let file = std::fs::metadata(directory.path().join(name)).unwrap();
        assert!(file.len() > 500, "{name}");
    }
    let nowhere = directory.path().join("none");
    let problem = summary::write_all(&nowhere, &failing()).unwrap_err();
    assert!(
        problem.to_string().starts_with("report.json: "),
        "{problem}"
    );
    assert!(
        EVIL.contains('\u{1}'),
        "names with control characters are tried"
    );
}
