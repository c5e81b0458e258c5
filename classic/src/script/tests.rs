//! Checks the text of generated scripts. `tests/classic_tools.rs` runs them with the tools.

use super::*;

fn python(library: Option<&str>, groups: &[MarkerGroup], entry_needs_line: bool) -> TargetPython {
    TargetPython {
        program: "/opt/my python/bin/python3".into(),
        library: library.map(str::to_owned),
        version: Some("3.11.2".into()),
        groups: groups.to_vec(),
        entry_needs_line,
    }
}

#[test]
fn a_shared_build_has_its_markers_in_the_library() {
    let shared = python(Some("/opt/lib/libpython3.11.so.1.0"), &[MarkerGroup::Gc], false);
    assert!(bpftrace(&shared).contains("usdt:\"/opt/lib/libpython3.11.so.1.0\":python:gc__start {"));
    for script in [stap(&shared), tapset(&shared)] {
        let probe_point = "process(\"/opt/my python/bin/python3\").library(\"/opt/lib/libpython3.11.so.1.0\").mark(\"gc__start\")";
        assert!(script.contains(probe_point), "{script}");
    }
    // `python$target` covers the program and its libraries.
    assert!(dtrace(&shared).contains("python$target:::gc-start\n"));
}

#[test]
fn a_script_probes_line_if_entries_need_it() {
    for (tool, probe) in
        [(bpftrace as fn(&TargetPython) -> String, ":line "), (dtrace, ":::line\n"), (stap, "mark(\"line\")")]
    {
        let probes_line = |groups: &[MarkerGroup], needs| tool(&python(None, groups, needs)).contains(probe);
        assert!(probes_line(&[MarkerGroup::Function], true));
        assert!(!probes_line(&[MarkerGroup::Function], false));
        assert!(!probes_line(&[MarkerGroup::Gc], true));
        assert!(probes_line(&[MarkerGroup::Line], true));
    }
}

#[test]
fn every_marker_is_printed_in_the_capture_format() {
    let groups =
        [MarkerGroup::Function, MarkerGroup::Line, MarkerGroup::Gc, MarkerGroup::Import, MarkerGroup::Audit];
    for tool in [bpftrace, dtrace, stap] {
        let script = tool(&python(None, &groups, true));
        for marker in groups.iter().flat_map(|group| group.markers()) {
            let count = script.matches(&format!("\\t{}\\t", marker.name())).count();
            assert_eq!(count, 1, "{marker}: {script}");
        }
        assert!(script.contains("# pyrec 1\\t") && script.contains("# end\\n"), "{script}");
    }
}

#[test]
fn a_path_cannot_end_its_string_or_comment() {
    let hostile =
        TargetPython { program: "/a\"b\\c\n*/ d".into(), ..python(None, &[MarkerGroup::Gc], false) };
    for script in [bpftrace(&hostile), stap(&hostile), tapset(&hostile)] {
        assert!(script.contains(r#"/a\"b\\c"#), "{script}");
        assert!(script.lines().filter(|line| line.starts_with("*/")).count() <= 1);
    }
    let script = dtrace(&hostile);
    assert_eq!(script.matches("*/").count(), 1, "{script}");
}
