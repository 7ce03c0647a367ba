//! What a person reads when a manifest is wrong.

use super::{gust_fault, spin_fault, with};
use crate::{error::MAX_FAULTS, limits, parse_gust};

/// The first line of each fault, without the file's name.
fn lines(fault: &str) -> Vec<&str> {
    fault
        .lines()
        .filter_map(|line| {
            line.strip_prefix("gust.toml:")
                .or_else(|| line.strip_prefix("spin.toml:"))
        })
        .collect()
}

#[test]
fn an_unknown_key_is_shown_with_a_suggestion() {
    assert_eq!(
        gust_fault(&with("rout = \"/\"")),
        "gust.toml:6:1: unknown key in [function.hello]: `rout`
   |
 6 | rout = \"/\"
   | ^^^^
hint: did you mean `route`?"
    );
}

#[test]
fn several_faults_are_found_at_once() {
    assert_eq!(
        gust_fault(&with(
            "route = 3\nkv = \"x\"\nlimits = { memory = \"1TiB\", cpu = \"1s\" }"
        )),
        "gust.toml:6:9: `route` must be a path, a list of paths, or false, not an integer
   |
 6 | route = 3
   |         ^

gust.toml:7:6: `kv` must be a list of strings, not a string
   |
 7 | kv = \"x\"
   |      ^^^

gust.toml:8:21: `memory` must be between 64KiB and 4GiB: 1TiB
   |
 8 | limits = { memory = \"1TiB\", cpu = \"1s\" }
   |                     ^^^^^^

gust.toml:8:29: unknown key in [function.hello.limits]: `cpu`
   |
 8 | limits = { memory = \"1TiB\", cpu = \"1s\" }
   |                             ^^^
hint: did you mean `cpu_time`?"
    );
}

#[test]
fn two_claims_on_a_route_name_both_functions() {
    let two = "route = \"/u/:id\"\n[function.two]\nsource = \"b\"\nroute = [\"/a\", \"/u/:x/\"]";
    assert_eq!(
        gust_fault(&with(two)),
        "gust.toml:9:16: functions `hello` and `two` claim the same route: \"/u/:x/\"
   |
 9 | route = [\"/a\", \"/u/:x/\"]
   |                ^^^^^^^^
hint: it is first claimed on line 6, as \"/u/:id\""
    );
}

#[test]
fn carets_stand_under_wide_characters() {
    let fault = gust_fault(&with("environment = { \"名字\" = \"值\", \"数\" = 5 }"));
    assert_eq!(
        fault,
        "gust.toml:6:35: `environment.数` must be a string, not an integer
   |
 6 | environment = { \"名字\" = \"值\", \"数\" = 5 }
   |                                       ^
hint: write it in quotes: \"5\""
    );
}

#[test]
fn one_line_says_what_is_wrong() {
    for (more, expected) in [
        ("source = \"again\"", "6:1: duplicate key"),
        (
            "memory = 3",
            "6:1: unknown key in [function.hello]: `memory`",
        ),
        (
            "key_value_stores = []",
            "6:1: unknown key in [function.hello]: `key_value_stores`",
        ),
        (
            "description = 1979-05-27",
            "6:15: `description` must be a string, not a date",
        ),
        (
            "route = true",
            "6:9: `route` must be a path, a list of paths, or false, not true",
        ),
        (
            "route = \"hello\"",
            "6:9: route does not start with '/': \"hello\"",
        ),
        (
            "route = [\"/a\", 7]",
            "6:16: each item of `route` must be a string, not an integer",
        ),
        (
            "kv = [\"../etc\"]",
            "6:7: label is not a valid label: \"../etc\"",
        ),
        (
            "outbound = [\"example.com\"]",
            "6:13: outbound host has no scheme: \"example.com\"",
        ),
        (
            "outbound = [\"https://{{ tok }}\"]",
            "6:13: variable is not declared: `tok`",
        ),
        (
            "variables = { a = \"{{ b\" }",
            "6:19: '{{' without '}}' in: \"{{ b\"",
        ),
        (
            "variables = { myVar = \"\" }",
            "6:15: variable name is not lower_snake_case: \"myVar\"",
        ),
        (
            "environment = { \"A=B\" = \"\" }",
            "6:17: environment name is empty, too long, or has '=': \"A=B\"",
        ),
        (
            "health = \"ready\"",
            "6:10: not a path of a request: \"ready\"",
        ),
        (
            "health = { timeout = \"1s\" }",
            "6:1: [function.hello.health] needs the key `path`",
        ),
        (
            "health = { path = \"/\", timeout = 5 }",
            "6:34: `timeout` must be a duration such as \"30s\", not an integer",
        ),
        (
            "build = {}",
            "6:1: [function.hello.build] needs the key `command`",
        ),
        (
            "build = { command = \"x\", workdir = \"/etc\" }",
            "6:36: `workdir` must be relative to the manifest's folder: \"/etc\"",
        ),
        (
            "limits = { wall_time = \"30\" }",
            "6:24: not a duration: \"30\"",
        ),
        (
            "limits = { concurrency = 0 }",
            "6:26: `concurrency` must be between 1 and 100000: 0",
        ),
        (
            "limits = { queue = 99999999999999999999999999 }",
            "6:20: `queue` must be between 0 and 100000: 99999999999999999999999999",
        ),
        (
            "reuse = { calls = 0 }",
            "6:19: `calls` must be between 1 and 1000000: 0",
        ),
        (
            "files = \"a\"",
            "6:9: `files` must be a list of strings or tables, not a string",
        ),
        (
            "files = [{ source = \"a\" }]",
            "6:10: an item of `files` needs the key `destination`",
        ),
        (
            "[variables]\nx = {}",
            "7:1: variable is neither required nor has a default: `x`",
        ),
        (
            "[variables]\nx = { required = true, default = \"\" }",
            "7:1: variable is required and has a default: `x`",
        ),
        (
            "[function.Two]\nsource = \"x\"",
            "6:11: function name does not start with a lower-case letter: \"Two\"",
        ),
        (
            "[function.two]",
            "6:11: [function.two] needs the key `source`",
        ),
        (
            "[[route]]\npath = \"/a\"",
            "7:1: a route needs exactly one of the keys `function`, `response` and `files`",
        ),
        (
            "[[route]]\npath = \"/a\"\nfunction = \"helo\"",
            "7:8: no such function: `helo`",
        ),
        (
            "[[route]]\npath = \"/a\"\nfiles = { dir = \"x\" }",
            "7:8: the path of a files route must end in `/...`: \"/a\"",
        ),
        (
            "[[route]]\npath = \"/a\"\nresponse = { status = 99 }",
            "8:23: `status` must be between 200 and 599: 99",
        ),
        (
            "[[route]]\npath = \"/a\"\nresponse = { headers = { Content-Length = \"5\" } }",
            "8:26: header is set by the gateway: \"Content-Length\"",
        ),
        (
            "[[route]]\npath = \"/a\"\nresponse = { headers = { x = \"a\\nb\" } }",
            "8:26: not a header value: \"a\\nb\"",
        ),
        (
            "route = \"private\"\n[[route]]\npath = \"/a\"\nfunction = \"hello\"",
            "8:8: function `hello` is private and has a route: \"/a\"",
        ),
        (
            "route = \"/a\"\n[[route]]\npath = \"/a\"\nresponse = {}",
            "8:8: function `hello` and a route without a function claim the same route: \"/a\"",
        ),
        (
            "[route]\npath = \"/a\"",
            "6:1: `route` must be a list of tables ([[route]]), not a table",
        ),
        ("[app.more]", "6:6: unknown key in [app]: `more`"),
        ("[extra]", "6:2: unknown key in gust.toml: `extra`"),
        (
            "a = ",
            "6:5: string values must be quoted, expected literal string",
        ),
    ] {
        assert_eq!(lines(&gust_fault(&with(more))), [expected], "{more}");
    }
}

#[test]
fn the_app_itself_is_checked() {
    for (text, expected) in [
        ("", "1:1: gust.toml needs the key `app`"),
        ("app = 1", "1:7: `app` must be a table, not an integer"),
        ("[app]\n", "1:2: [app] needs the key `name`"),
        (
            "[app]\nname = \"x\"\n",
            "1:2: the app has neither functions nor routes",
        ),
        (
            "[app]\nname = \"你好\"\n",
            "2:8: app name does not start with a lower-case letter: \"你好\"",
        ),
        (
            "[app]\nname = \"x\"\nhosts = [\"http://a\"]",
            "3:10: not a host name: \"http://a\"",
        ),
        (
            "function = []\n[app]\nname = \"x\"",
            "1:12: `function` must be a table, not a list",
        ),
        ("a", "1:2: key with no value, expected `=`"),
    ] {
        let fault = gust_fault(text);
        assert_eq!(lines(&fault), [expected], "{text}");
    }
}

#[test]
fn words_of_other_manifests_are_translated() {
    for (more, hint) in [
        ("key_value_stores = []", "did you mean `kv`?"),
        ("allowed_outbound_hosts = []", "did you mean `outbound`?"),
        ("memory = 1", "`memory` belongs in [function.<name>.limits]"),
        ("environement = {}", "did you mean `environment`?"),
        ("[functions.x]", "did you mean `function`?"),
        ("[aap]", "did you mean `app`?"),
    ] {
        let fault = gust_fault(&with(more));
        assert!(fault.ends_with(&format!("hint: {hint}")), "{more}: {fault}");
    }
}

#[test]
fn faults_are_counted_and_lines_are_shortened() {
    let many: String = (0..30).map(|i| format!("unknown_{i} = {i}\n")).collect();
    let fault = gust_fault(&with(&many));
    assert_eq!(lines(&fault).len(), MAX_FAULTS);
    assert!(fault.ends_with("and 10 more"), "{fault}");

    let long = format!(
        "environment = {{ A = \"{}\", B = 5, C = \"{0}\" }}",
        "值".repeat(5000)
    );
    let fault = gust_fault(&with(&long));
    assert!(fault.lines().all(|l| l.chars().count() < 200), "{fault}");
    let text = fault.lines().nth(2).unwrap();
    let carets = fault.lines().nth(3).unwrap();
    let wide = |s: &str| {
        s.chars()
            .map(|c| if c == '值' { 2 } else { 1 })
            .sum::<usize>()
    };
    let five = wide(&text[..text.find('5').unwrap()]);
    assert_eq!(carets.find('^'), Some(five), "{fault}");
}

#[test]
fn control_characters_never_reach_a_terminal() {
    let fault = gust_fault(&with("rout = \"\\u001b[31m\" # \u{9b}31m"));
    assert!(
        !fault.chars().any(|c| c.is_control() && c != '\n'),
        "{fault:?}"
    );
    let fault = gust_fault(&with("\"\\u001b[2J\" = 1"));
    assert!(
        !fault.chars().any(|c| c.is_control() && c != '\n'),
        "{fault:?}"
    );
}

/// Found by fuzzing: a lone carriage return is a fault of its own, beyond the end of the line that is shown.
#[test]
fn a_fault_at_a_carriage_return_is_shown() {
    let fault = gust_fault(&with("a = 1 \r\r\n"));
    assert!(fault.contains("6 | a = 1"), "{fault}");
    assert!(!gust_fault("\r").is_empty());
}

#[test]
fn what_is_too_much_is_refused() {
    let big = format!(
        "{}# {}",
        with(""),
        "x".repeat(limits::MAX_MANIFEST as usize)
    );
    assert!(gust_fault(&big).contains("larger than 1048576 bytes"));

    let functions: String = (0..=limits::MAX_FUNCTIONS)
        .map(|i| format!("[function.f{i}]\nsource = \"x\"\n"))
        .collect();
    let fault = gust_fault(&format!("[app]\nname = \"x\"\n{functions}"));
    assert!(fault.contains("more functions than 1000"), "{fault}");

    let paths: Vec<String> = (0..=limits::MAX_ROUTES)
        .map(|i| format!("\"/{i}\""))
        .collect();
    let fault = gust_fault(&with(&format!("route = [{}]", paths.join(","))));
    assert!(fault.contains("more routes than 10000"), "{fault}");
}

#[test]
fn deep_nesting_does_not_exhaust_the_stack() {
    for deep in [
        format!("a = {}", "[".repeat(200_000)),
        format!("a = {}", "{a=".repeat(200_000)),
        format!("{}a = 1", "a.".repeat(200_000)),
        format!("[{}a]", "a.".repeat(200_000)),
        format!("[[{}a]]", "a.".repeat(200_000)),
    ] {
        assert!(parse_gust(&deep).is_err());
    }
}

#[test]
fn a_spin_manifest_of_another_version_gives_one_fault() {
    for text in [
        "spin_manifest_version = \"1\"\nname = \"x\"\n[[component]]\nid = \"x\"",
        "spin_version = \"1\"\nname = \"x\"",
        "spin_manifest_version = 3",
    ] {
        let fault = spin_fault(text);
        assert_eq!(lines(&fault).len(), 1, "{fault}");
        assert!(
            fault.contains("only version 2 of spin.toml is read"),
            "{fault}"
        );
    }
}

#[test]
fn sources_outside_are_checked_where_they_stand() {
    let of = |redis: &str| {
        let text = format!("[[trigger]]\nfunction = \"hello\"\nredis = {{ {redis} }}");
        let fault = gust_fault(&with(&text));
        fault.lines().next().unwrap_or_default().to_owned()
            + fault
                .lines()
                .find(|l| l.starts_with("hint"))
                .unwrap_or_default()
    };
    for (redis, expected) in [
        ("channel = \"c\"", "needs the key `url`"),
        (
            "url = \"redis://h\", chanel = \"c\"",
            "8:30: unknown key in [trigger.redis]: `chanel`hint: did you mean `channel`?",
        ),
        ("url = 7", "`url` must be a string"),
        ("url = \"{{ nope }}\"", "variable is not declared: `nope`"),
        (
            "url = \"redis://me:geheim@h\", channel = \"c\"",
            "a secret stands in the open",
        ),
        (
            "url = \"redis://h\", password = \"geheim\"",
            "a secret stands in the open",
        ),
        ("url = \"redis://h\", claim_after = \"soon\"", "soon"),
    ] {
        let found = of(redis);
        assert!(found.contains(expected), "{redis}: {found}");
        assert!(!found.contains("geheim"), "{found}");
    }
    let other = |source: &str| {
        gust_fault(&with(&format!(
            "[[trigger]]\nfunction = \"hello\"\n{source}"
        )))
    };
    for (source, expected) in [
        (
            "kafka = { url = \"kafka://h\" }",
            "triggers of this kind are not built: `kafka`",
        ),
        (
            "http = { url = \"https://h\", headers = { X-Api-Key = \"geheim\" } }",
            "in the key: X-Api-Key",
        ),
        (
            "http = { url = \"https://h\", headers = { a = \"{{ nope }}\" } }",
            "variable is not declared: `nope`",
        ),
        ("http = { url = \"https://h\", every = \"soon\" }", "soon"),
        (
            "amqp = { url = \"amqp://h\", queue = \"q\", keys = \"a\" }",
            "list of strings",
        ),
        (
            "amqp = { url = \"amqp://me:geheim@h\", queue = \"q\" }",
            "in the open",
        ),
    ] {
        let found = other(source);
        assert!(found.contains(expected), "{source}: {found}");
        assert!(!found.contains("exactly one"), "{found}");
    }
    let both = "[[trigger]]\nfunction = \"hello\"\nredis = { url = \"redis://h\", channel = \"c\" }\nqueue = \"q\"";
    assert!(gust_fault(&with(both)).contains("exactly one of the keys `queue`"));
}
