//! Sequences that once showed a difference, or that chance would meet too seldom. Each is run on both servers.

/// What it is about, and the sequence as a difference prints it.
pub(crate) const SETTLED: &[(&str, &str)] = &[
    (
        "a lone put's lease is looked for before its key",
        r#"[{"Put":{"ignore_value":true,"key":"h","lease":1}}]"#,
    ),
    (
        "a put in a transaction looks for its key before its lease",
        r#"[{"Txn":{"then":[{"Put":{"ignore_value":true,"key":"h","lease":1}}]}}]"#,
    ),
    (
        "a compacted watch keeps its id",
        r#"[{"Watch":{}},{"Watch":{"id":1,"start":"now-7"}},{"Watch":{}},{"Progress":{}},{"Watch":{"id":1}},
            {"Cancel":{"id":1}},{"Cancel":{"id":1}},{"Progress":{}},{"Watch":{"id":1}}]"#,
    ),
    (
        "a watch of a later revision keeps its stream from telling of progress",
        r#"[{"Watch":{"key":"a","start":"now+4"}},{"Progress":{}},{"Put":{"key":"a"}},{"Put":{"key":"a"}},{"Progress":{}},
            {"Put":{"key":"a"}},{"Put":{"key":"a"}},{"Progress":{}}]"#,
    ),
    (
        "keys end with their lease in one revision, in order",
        r#"[{"Watch":{"end":"\u0000","prev":true}},{"Put":{"key":"b"}},{"Expire":{"id":7,"keys":["c","a","b"]}},
            {"Range":{"key":"a","end":"z"}},{"TimeToLive":{"id":7,"keys":true}},{"KeepAlive":{"id":7}},{"Revoke":{"id":7}}]"#,
    ),
    (
        "large events are told in fragments where that is wanted",
        r#"[{"Txn":{"then":[{"Put":{"key":"a","kib":900}}]}},{"Put":{"key":"b","kib":1000}},{"Put":{"key":"a","kib":1100}},
            {"Watch":{"end":"\u0000","fragment":true,"prev":true,"start":"now-2"}},
            {"Watch":{"end":"\u0000","prev":true,"start":"now-2"}},
            {"Watch":{"end":"\u0000","fragment":true,"prev":true}},{"Delete":{"key":"a","end":"z"}},{"Put":{"key":"b","kib":1536}}]"#,
    ),
    (
        "a delete in the compacted revision is still told",
        r#"[{"Put":{"key":"a"}},{"Delete":{"key":"a"}},{"Compact":{"rev":"now+0","physical":true}},
            {"Watch":{"end":"\u0000","prev":true,"start":"compacted+0"}},{"Range":{"key":"a","rev":"compacted+0"}}]"#,
    ),
];
