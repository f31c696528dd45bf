use super::*;

const STAT: &str =
    "cpu  88765 0 15683 94038 1548 0 1892 142 7 0\ncpu0 39596 0 7217 53074 333 0 838 64 0 0\n";
const MEMINFO: &str = "MemTotal:       1000 kB\nMemFree:   100 kB\nMemAvailable:    400 kB\n";
const PRESSURE: &str = "some avg10=10.37 avg60=8.49 avg300=13.58 total=99790827\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n";

#[expect(
    clippy::unnecessary_wraps,
    reason = "a file that is there, beside others that are not"
)]
fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Two readings a second apart.
fn between(first: &Texts, second: &Texts) -> Reading {
    let at = Instant::now();
    let first = Sample::of(first, at);
    Sample::of(second, at + Duration::from_secs(1)).since(Some(&first))
}

#[test]
fn each_file_is_read_and_what_is_not_understood_is_unknown() {
    assert_eq!(ticks(STAT), Some((106_482, 202_068)));
    for wrong in ["", "cpu 1 2 3", "cpu  a b c d e", "cpu0 1 2 3 4 5 6 7 8"] {
        assert_eq!(ticks(wrong), None, "{wrong}");
    }
    assert_eq!(machine_memory(MEMINFO), Some(0.6));
    assert_eq!(machine_memory("MemTotal: 1000 kB\n"), None);
    assert_eq!(stalled(PRESSURE), Some(99_790_827));
    assert_eq!(stalled("full avg10=0 total=5"), None);
    assert_eq!(own_group("4:memory:/x\n0::/a/b\n"), Some("/a/b"));
    assert_eq!(own_group("4:memory:/x\n"), None);
    assert_eq!(processors("150000 100000\n"), Some(1.5));
    for wrong in ["max 100000\n", "1", "1 0", ""] {
        assert_eq!(processors(wrong), None, "{wrong}");
    }
    assert_eq!(
        field("nr 1\nusage_usec 7\nuser_usec 5\n", "usage_usec"),
        Some(7)
    );
    let group = |max: &str| {
        group_memory(&[
            text("700\n"),
            text(max),
            text("anon 1\ninactive_file 200\n"),
        ])
    };
    assert_eq!(group("1000\n"), Some(0.5));
    assert_eq!(group("max\n"), None);
}

#[test]
fn counters_tell_what_came_since_the_last_reading() {
    let first = Texts {
        stat: text("cpu  100 0 0 100 0 0 0 0"),
        pressure: [text("some total=0"), text("some total=100000")],
        ..Texts::default()
    };
    let second = Texts {
        stat: text("cpu  130 0 0 160 10 0 0 0"),
        pressure: [text("some total=250000"), text("some total=100000")],
        meminfo: text(MEMINFO),
        ..Texts::default()
    };

    let reading = between(&first, &second);

    let expected = Reading {
        cpu: Some(0.3),
        cpu_stalled: Some(0.25),
        memory: Some(0.6),
        memory_stalled: Some(0.0),
    };
    assert_eq!(reading, expected);
    // A counter that went back is another machine's.
    assert_eq!(between(&second, &first).cpu, None);
}

#[test]
fn the_scarcer_of_machine_and_cgroup_counts() {
    let machine = Texts {
        stat: text("cpu  0 0 0 0 0 0 0 0"),
        meminfo: text(MEMINFO),
        ..Texts::default()
    };
    let group = |used: &str| Texts {
        stat: text("cpu  50 0 0 50 0 0 0 0"),
        group_cpu: [text(used), text("200000 100000")],
        group_memory: [text("900"), text("1000"), text("inactive_file 0")],
        ..machine.clone()
    };
    for (used, cpu) in [("usage_usec 2100000", 1.0), ("usage_usec 500000", 0.5)] {
        let first = Texts {
            group_cpu: [text("usage_usec 100000"), text("200000 100000")],
            ..machine.clone()
        };
        let reading = between(&first, &group(used));
        assert_eq!((reading.cpu, reading.memory), (Some(cpu), Some(0.9)));
    }
}

#[test]
fn nothing_there_is_unknown_and_a_first_reading_tells_memory_only() {
    let nothing = Texts::default();
    assert_eq!(between(&nothing, &nothing), Reading::default());
    let there = Texts {
        stat: text(STAT),
        meminfo: text(MEMINFO),
        pressure: [text(PRESSURE), text(PRESSURE)],
        ..nothing
    };
    let first = Sample::of(&there, Instant::now()).since(None);
    let memory_only = Reading {
        memory: Some(0.6),
        ..Reading::default()
    };
    assert_eq!(first, memory_only);
}

#[test]
#[cfg(target_os = "linux")]
fn this_machine_can_be_read() {
    let mut meter = Machine::default().meter();
    let memory = meter.read().memory.unwrap();
    assert!((0.0..=1.0).contains(&memory), "{memory}");
}
