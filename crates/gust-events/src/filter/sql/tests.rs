use gust_types::Kind;

use super::*;

/// An event with these attributes, as JSON has them.
fn event(attributes: &str) -> Event {
    let base = Event::new("myId", "/source", "myType").unwrap();
    if attributes.is_empty() {
        return base;
    }
    let attributes: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(attributes).unwrap();
    attributes
        .into_iter()
        .fold(base, |event, (name, value)| match value {
            serde_json::Value::Bool(value) => event.with(&name, value).unwrap(),
            serde_json::Value::Number(value) => {
                let value = i32::try_from(value.as_i64().unwrap()).unwrap();
                event.with(&name, value).unwrap()
            }
            value => event.with(&name, value.as_str().unwrap()).unwrap(),
        })
}

/// `text` over this event is `value`, as JSON has it, with this kind of fault.
#[track_caller]
fn check(text: &str, attributes: &str, value: &str, fault: &str) {
    let event = event(attributes);
    let expression = Expression::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let (found, wrong) = expression.evaluate(&event);
    let found = match found {
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::String(value) => serde_json::to_string(&value).unwrap(),
    };
    let kind = wrong.as_ref().map_or("", |wrong| name(wrong.kind()));
    assert_eq!((&*found, kind), (value, fault), "{text}: {wrong:?}");
    let matches = (value, fault) == ("true", "");
    assert_eq!(expression.matches(&event), matches, "{text}");
}

fn name(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::MissingAttribute => "missingAttribute",
        FaultKind::MissingFunction => "missingFunction",
        FaultKind::Cast => "cast",
        FaultKind::Math => "math",
        FaultKind::FunctionEvaluation => "functionEvaluation",
        FaultKind::Generic => "generic",
    }
}

#[track_caller]
fn refused(text: &str, message: &str) {
    let error = Expression::parse(text).unwrap_err();
    assert_eq!((error.kind, &*error.message), (Kind::Invalid, message));
}

#[test]
fn it_conforms() {
    let mut count = 0;
    for line in include_str!("tests/conformance.txt").lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut columns = line.split(" | ").map(str::trim);
        let mut next = || columns.next().unwrap_or_default();
        match (next(), next(), next(), next()) {
            (text, _, "parse", _) => drop(Expression::parse(text).unwrap_err()),
            (text, value, fault, attributes) => check(text, attributes, value, fault),
        }
        count += 1;
    }
    assert_eq!(count, 275, "every line is one");
}

#[test]
fn operators_bind_as_they_should() {
    for (text, value) in [
        ("1 + 2 * 3", "7"),
        ("10 - 2 - 3", "5"),
        ("100 / 10 / 5", "2"),
        ("100 / (10 / 5)", "50"),
        ("7 % 4 * 2", "6"),
        ("-7 / 2", "-3"),
        ("-7 % 2", "-1"),
        ("7 % -2", "1"),
        ("4-1", "3"),
        ("4 -1", "3"),
        ("4 - -1", "5"),
        ("4--1", "5"),
        ("+5", "5"),
        ("1++5", "6"),
        ("- 5", "-5"),
        ("-(5)", "-5"),
        ("1 + 2 = 3", "true"),
        ("1 < 2 = true", "true"),
        ("NOT true = false", "true"),
        ("NOT (true = true)", "false"),
        ("NOT NOT true", "true"),
        // Nonsense with a value: `1 + (1 LIKE '2')`.
        ("1 + 1 LIKE '2'", "1"),
        ("(1 + 1) LIKE '2'", "true"),
        ("2 * 3 IN (3)", "2"),
        ("1 IN (1) = true", "true"),
        ("'1' IN (1) LIKE 'tr%'", "true"),
        ("EXISTS id AND EXISTS nothing", "false"),
        ("NOT EXISTS nothing", "true"),
        // From the left: (a OR b) AND c.
        ("true OR false AND false", "false"),
        ("false AND false OR true", "true"),
        ("true XOR true XOR true", "true"),
        ("true OR true XOR true", "false"),
        ("true OR (false AND false)", "true"),
        ("(false AND true) OR true", "true"),
        ("true AND (true OR false) AND true", "true"),
    ] {
        check(text, "", value, "");
    }
}

#[test]
fn letters_of_words_do_not_matter() {
    for text in [
        "Subject LIKE 'Abc' And Not Exists OTHER",
        "sUbJeCt lIkE 'Abc' aNd nOt eXiStS other",
        "SUBJECT\r\n\tIN(lower('X'),Concat('A','bc'))",
    ] {
        check(text, r#"{"subject": "Abc"}"#, "true", "");
    }
    check("subject = 'abc'", r#"{"subject": "Abc"}"#, "false", "");
}

#[test]
fn strings_escape_their_quotes_alone() {
    for (text, value) in [
        (r"'a\'b'", r#""a'b""#),
        (r"'a''b'", r#""a'b""#),
        (r#""a""b""#, r#""a\"b""#),
        (r#""a\"b""#, r#""a\"b""#),
        (r#"'a"b'"#, r#""a\"b""#),
        (r#""a'b""#, r#""a'b""#),
        (r"'a\b'", r#""a\\b""#),
        (r"'a\\'", r#""a\\\\""#),
        (r"'\%\_'", r#""\\%\\_""#),
        ("''", r#""""#),
        ("'中文 😀'", r#""中文 😀""#),
        ("'AND (1'", r#""AND (1""#),
        ("'a\nb'", r#""a\nb""#),
    ] {
        check(text, "", value, "");
    }
}

#[test]
fn names_may_have_digits() {
    let attributes = r#"{"5g": "fast", "x1": "1", "007x": "bond"}"#;
    check(
        "5g = 'fast' AND x1 = 1 AND 007x = 'bond'",
        attributes,
        "true",
        "",
    );
    check("007", "", "7", "");
}

#[test]
fn errors_say_where_and_what_should_be_there() {
    for (text, message) in [
        (
            "",
            "line 1, column 1: expected a value, found: the end of the expression",
        ),
        (
            "id =",
            "line 1, column 5: expected a value, found: the end of the expression",
        ),
        (
            "id = = 1",
            "line 1, column 6: expected a value, found: \"=\"",
        ),
        (
            "id 5",
            "line 1, column 4: expected an operator or the end, found: \"5\"",
        ),
        (
            "id = 'x",
            "line 1, column 6: expected the end of a string, found: the end of the expression",
        ),
        (
            r"id = 'x\'",
            "line 1, column 6: expected the end of a string, found: the end of the expression",
        ),
        (
            "(id = 1",
            "line 1, column 8: expected an operator or \")\", found: the end of the expression",
        ),
        (
            "id = 1)",
            "line 1, column 7: expected an operator or the end, found: \")\"",
        ),
        ("()", "line 1, column 2: expected a value, found: \")\""),
        (
            "ABC(",
            "line 1, column 5: expected a value, found: the end of the expression",
        ),
        (
            "ABC(1",
            "line 1, column 6: expected an operator, \",\" or \")\", found: the end of the expression",
        ),
        (
            "ABC(1,)",
            "line 1, column 7: expected a value, found: \")\"",
        ),
        (
            "ABC(1 2)",
            "line 1, column 7: expected an operator, \",\" or \")\", found: \"2\"",
        ),
        (
            "x1(2)",
            "line 1, column 3: expected an operator after an attribute, found: \"(\"",
        ),
        (
            "id LIKE id",
            "line 1, column 9: expected a pattern in quotes, found: \"id\"",
        ),
        (
            "id LIKE 5",
            "line 1, column 9: expected a pattern in quotes, found: \"5\"",
        ),
        (
            "id IN 5",
            "line 1, column 7: expected \"(\" and a list of values, found: \"5\"",
        ),
        (
            "id IN ()",
            "line 1, column 8: expected a value, found: \")\"",
        ),
        (
            "id NOT = 5",
            "line 1, column 8: expected LIKE or IN after NOT, found: \"=\"",
        ),
        (
            "EXISTS 'id'",
            "line 1, column 8: expected an attribute, found: the string \"id\"",
        ),
        (
            "EXISTS 5",
            "line 1, column 8: expected an attribute, found: \"5\"",
        ),
        (
            "my_attribute = 1",
            "line 1, column 1: expected a value, found: \"my_attribute\"",
        ),
        (
            "2147483648",
            "line 1, column 1: expected an integer of 32 bits, found: \"2147483648\"",
        ),
        (
            "-2147483649",
            "line 1, column 1: expected an integer of 32 bits, found: \"-2147483649\"",
        ),
        (
            "+ 5",
            "line 1, column 3: expected digits after \"+\", found: \"5\"",
        ),
        (
            "id = #",
            "line 1, column 6: expected an attribute, a value or an operator, found: \"#\"",
        ),
        (
            "id = 'a'; DROP",
            "line 1, column 9: expected an attribute, a value or an operator, found: \";\"",
        ),
        (
            "_x",
            "line 1, column 1: expected an attribute, a value or an operator, found: \"_\"",
        ),
        (
            "é",
            "line 1, column 1: expected an attribute, a value or an operator, found: \"é\"",
        ),
        (
            "1.5",
            "line 1, column 2: expected an attribute, a value or an operator, found: \".\"",
        ),
        (
            "id = '中文' AND\n  '字' = AND",
            "line 2, column 9: expected a value, found: \"AND\"",
        ),
    ] {
        refused(text, message);
    }
}

#[test]
fn errors_show_the_start_of_what_is_long() {
    let long = "中".repeat(5000);
    for text in [
        format!("id '{long}'"),
        format!("id > '{long}'"),
        "9".repeat(9000),
    ] {
        let error = Expression::parse(&text)
            .and_then(|e| e.check())
            .unwrap_err();
        assert!(
            error.message.ends_with('…') && error.message.len() < 400,
            "{error}"
        );
    }
}

#[test]
fn length_and_depth_are_bounded() {
    let long = format!("id = '{}'", "x".repeat(Expression::MAX_BYTES));
    refused(&long, "an expression may have 16384 bytes at most: 16391");

    let most = Expression::MAX_DEPTH;
    let parens = |n: usize| "(".repeat(n) + "true" + &")".repeat(n);
    let nots = |n: usize| "NOT ".repeat(n) + "true";
    let minus = |n: usize| "-".repeat(n) + "'1'";
    let sum = |n: usize| "1+".repeat(n) + "1";
    let calls = |n: usize| "ABS(".repeat(n) + "1" + &")".repeat(n);
    let likes = |n: usize| "id".to_owned() + &" LIKE '%'".repeat(n);
    for make in [
        &parens as &dyn Fn(usize) -> String,
        &nots,
        &minus,
        &sum,
        &calls,
        &likes,
    ] {
        let text = make(most - 1);
        Expression::parse(&text).unwrap().evaluate(&event(""));
        for n in [most + 1, 1000] {
            let error = Expression::parse(&make(n)).unwrap_err();
            let told = error
                .message
                .ends_with(&format!("expected at most {most} levels, found: more"));
            assert!(told, "{error}");
        }
    }
    // A row is no depth.
    let row = "id='0'".to_owned() + &" OR id='1'".repeat(1500) + " OR id='myId'";
    check(&row, "", "true", "");
}

#[test]
fn arithmetic_stays_within_32_bits() {
    for (text, fault) in [
        ("2147483647 + 1", "math"),
        ("-2147483648 - 1", "math"),
        ("2147483647 * 2", "math"),
        ("-2147483648 / -1", "math"),
        ("-(-2147483648)", "math"),
        ("--2147483648", "math"),
        ("-2147483648 % -1", ""),
        ("1 / 0", "math"),
        ("1 % 0", "math"),
        ("'x' + 1", "cast"),
        ("1 + '2147483648'", "cast"),
        ("1 + ''", "cast"),
        ("1 + ' 1'", "cast"),
        ("INT('1.0')", "cast"),
    ] {
        check(text, "", "0", fault);
    }
    check("'+5' + '-3'", "", "2", "");
}

#[test]
fn a_fault_leaves_the_zero_of_what_it_is_in() {
    for (text, value, fault) in [
        ("missing", "false", "missingAttribute"),
        ("(missing)", "false", "missingAttribute"),
        ("LENGTH(missing)", "0", "missingAttribute"),
        ("CONCAT('a', missing)", "\"\"", "missingAttribute"),
        ("missing IN ('a')", "false", "missingAttribute"),
        ("missing NOT IN ('a')", "false", "missingAttribute"),
        ("missing NOT LIKE 'a'", "false", "missingAttribute"),
        ("'a' IN (missing, 'a')", "false", "missingAttribute"),
        ("'a' IN ('a', missing)", "true", ""),
        ("1 IN ('x', 1)", "false", "cast"),
        ("missing OR true", "false", "missingAttribute"),
        ("true OR missing", "true", ""),
        ("false AND missing OR true", "true", ""),
        ("true XOR missing", "false", "missingAttribute"),
        ("'x' = 1", "false", "cast"),
        ("'x' != 1", "false", "cast"),
        ("'x' = true", "false", "cast"),
        ("'x' AND true", "false", "cast"),
        ("1 / 0 = 0", "false", "math"),
        ("NOPE(missing)", "false", "missingFunction"),
        ("LENGTH('a', 'b')", "false", "missingFunction"),
        ("LEFT('abc', -1)", "\"abc\"", "functionEvaluation"),
        ("LENGTH(LEFT('abc', -1))", "0", "functionEvaluation"),
        ("ABS(-2147483648) + 1", "0", "math"),
        ("LEFT('abc', 'x')", "\"\"", "cast"),
    ] {
        check(text, "", value, fault);
    }
}

#[test]
fn functions_count_characters() {
    for (text, value) in [
        ("LENGTH('中文😀')", "3"),
        ("LEFT('中文😀', 2)", "\"中文\""),
        ("RIGHT('中文😀', 2)", "\"文😀\""),
        ("LEFT('abc', 0)", "\"\""),
        ("RIGHT('abc', 0)", "\"\""),
        ("SUBSTRING('中文字', 2)", "\"文字\""),
        ("SUBSTRING('中文字', -1)", "\"字\""),
        ("SUBSTRING('中文字', 1, 2)", "\"中文\""),
        ("SUBSTRING('中文字', 3, 100)", "\"字\""),
        ("SUBSTRING('中文字', -3, 1)", "\"中\""),
        ("SUBSTRING('abc', 2, 0)", "\"\""),
        ("SUBSTRING('', 0)", "\"\""),
        ("UPPER('straße')", "\"STRASSE\""),
        ("LOWER('ÄÖ中')", "\"äö中\""),
        ("TRIM('\u{3000} a b \t')", "\"a b\""),
        ("CONCAT(1, TRUE, 'x')", "\"1truex\""),
        ("CONCAT_WS(0, 1, 2)", "\"102\""),
        ("CONCAT_WS(', ', 'a', '', 'b')", "\"a, , b\""),
        ("IS_INT('12')", "true"),
        ("IS_INT('x')", "false"),
        ("IS_INT(TRUE)", "true"),
        ("IS_BOOL('True')", "true"),
        ("IS_BOOL('yes')", "false"),
        ("IS_BOOL(5)", "true"),
        ("INT('+7') + INT(TRUE)", "8"),
        ("BOOL('FALSE')", "false"),
        ("STRING(-5)", "\"-5\""),
        ("ABS('-5')", "5"),
    ] {
        check(text, "", value, "");
    }
    for (text, value) in [
        ("SUBSTRING('', 1)", "\"\""),
        ("SUBSTRING('abc', 1, -1)", "\"\""),
        ("SUBSTRING('abc', -2147483648)", "\"\""),
        ("SUBSTRING('abc', 2147483647, 2147483647)", "\"\""),
    ] {
        check(text, "", value, "functionEvaluation");
    }
}

#[test]
fn patterns_match() {
    for (text, pattern, matches) in [
        ("", "", true),
        ("", "%", true),
        ("", "%%", true),
        ("", "_", false),
        ("a", "", false),
        ("中", "_", true),
        ("中文", "_", false),
        ("中文字", "%文%", true),
        ("abc", "%", true),
        ("abc", "abc%", true),
        ("abc", "%abc", true),
        ("abc", "a%%c", true),
        ("abc", "a%_c", true),
        ("ac", "a%_c", false),
        ("aXbXc", "%X_X%", true),
        ("aXXXc", "%X_X%", true),
        ("aXbYc", "%X_X%", false),
        ("aaab", "%a_b", true),
        ("aab", "a%ab", true),
        ("ab", "a%ab", false),
        ("abab", "%ab", true),
        ("mississippi", "m%iss%ip%i", true),
        ("mississippi", "m%iss%ips%i", false),
        ("abcabd", "%__d", true),
        ("xaay", "x%a_y", true),
        ("xbay", "x%a_y", false),
        ("xaaby", "%a_b%", true),
        ("a.b", "a.b", true),
        ("axb", "a.b", false),
        ("100%", r"100\%", true),
        ("1000", r"100\%", false),
        (r"a\b", r"a\b", true),
        (r"a\%", r"a\\%", true),
        (r"a\%", r"a\\\%", false),
        (r"a\x", r"a\%", false),
        ("a\\", "a\\", true),
        ("A", "a", false),
        ("line\nbreak", "line%break", true),
    ] {
        let never_ends = |_| Ok::<(), ()>(());
        let found = like::Pattern::new(pattern)
            .matches(text, never_ends)
            .unwrap();
        assert_eq!(found, matches, "{text:?} LIKE {pattern:?}");
    }
}

/// What is plainly right, and slow.
fn slowly(text: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|n| slowly(&text[n..], rest)),
        ['_', rest @ ..] => !text.is_empty() && slowly(&text[1..], rest),
        [c, rest @ ..] => text.first() == Some(c) && slowly(&text[1..], rest),
    }
}

#[test]
fn patterns_match_as_a_plain_matcher_says() {
    // All texts of up to five and all patterns of up to five letters.
    let words = |letters: &[char]| {
        let mut all = vec![Vec::new()];
        let mut last = all.clone();
        for _ in 0..5 {
            let grown = last.iter().flat_map(|word: &Vec<char>| {
                letters.iter().map(|c| [word.as_slice(), &[*c]].concat())
            });
            last = grown.collect();
            all.extend(last.iter().cloned());
        }
        all
    };
    let texts = words(&['a', 'b']);
    for pattern in words(&['a', 'b', '%', '_']) {
        let read = like::Pattern::new(&pattern.iter().collect::<String>());
        for text in &texts {
            let written: String = text.iter().collect();
            let found = read.matches(&written, |_| Ok::<(), ()>(())).unwrap();
            assert_eq!(found, slowly(text, &pattern), "{text:?} LIKE {pattern:?}");
        }
    }
}

#[test]
fn an_event_takes_only_so_much_work() {
    let long = "a".repeat(60_000);
    let attributes = format!(r#"{{"x": "{long}"}}"#);
    let doubling = format!("LENGTH(CONCAT({}))", ["x"; 1000].join(","));
    check(&doubling, &attributes, "0", "generic");
    let pattern = format!("x LIKE '%_{}b_%'", "a".repeat(10_000));
    check(&pattern, &attributes, "false", "generic");
    let many = ["x LIKE '%b'"; 1000].join(" OR ");
    check(&many, &attributes, "false", "generic");
    let pattern = format!("x LIKE '%{}b%'", "a".repeat(10_000));
    check(&pattern, &attributes, "false", "");
    check("LENGTH(CONCAT(x, x)) = 120000", &attributes, "true", "");
}

#[test]
fn attributes_are_booleans_integers_and_text() {
    let event = event(r#"{"flag": true, "count": 7, "time": "2026-04-05T17:31:00Z"}"#)
        .with("raw", bytes::Bytes::from_static(b"\xff"))
        .unwrap();
    for text in [
        "flag",
        "NOT NOT flag AND count + 1 = 8",
        "flag = 'true'",
        "count LIKE '7'",
        "time LIKE '2026-%'",
        "raw = '/w=='",
        "specversion = '1.0'",
        "source = '/source' AND type = 'myType'",
        "count IN ('6', '7')",
        "flag IN ('true')",
    ] {
        assert!(Expression::parse(text).unwrap().matches(&event), "{text}");
    }
    for text in ["count", "time", "'true'", "flag = 'TRUE'"] {
        assert!(!Expression::parse(text).unwrap().matches(&event), "{text}");
    }
}

#[test]
fn what_can_never_be_true_is_found_before_any_event() {
    for (text, message) in [
        (
            "LENGHT(id) > 5",
            "line 1, column 1: there is no such function with 1 arguments: LENGHT",
        ),
        (
            "true AND left(id) = 'a'",
            "line 1, column 10: there is no such function with 1 arguments: LEFT",
        ),
        (
            "LENGTH(id)",
            "line 1, column 1: a filter is true or false and not an integer",
        ),
        (
            "LENGTH(id) + 1",
            "line 1, column 12: a filter is true or false and not an integer",
        ),
        (
            "'true'",
            "line 1, column 1: a filter is true or false and not a string",
        ),
        (
            "LOWER(id)",
            "line 1, column 1: a filter is true or false and not a string",
        ),
        ("id > 'abc'", "line 1, column 6: not an integer: \"abc\""),
        ("id = 'x' OR\n'y'", "line 2, column 1: not a boolean: \"y\""),
        ("NOT 'x'", "line 1, column 5: not a boolean: \"x\""),
        ("-'x' = 1", "line 1, column 2: not an integer: \"x\""),
        ("'x' = 5", "line 1, column 1: not an integer: \"x\""),
        ("5 IN ('x')", "line 1, column 7: not an integer: \"x\""),
        ("x / 0 = 1", "line 1, column 5: division by zero"),
        ("x % '0' = 1", "line 1, column 5: division by zero"),
        (
            "LEFT(id, 'x') = 'a'",
            "line 1, column 10: not an integer: \"x\"",
        ),
        (
            "IS_INT(ABS('x'))",
            "line 1, column 12: not an integer: \"x\"",
        ),
        (
            "EXISTS id AND (x IN (LENGTH(NO())))",
            "line 1, column 29: there is no such function with 0 arguments: NO",
        ),
    ] {
        let error = Expression::parse(text).unwrap().check().unwrap_err();
        assert_eq!((error.kind, &*error.message), (Kind::Invalid, message));
    }
    for text in [
        "flag",
        "id = 'x'",
        "sequence = 5",
        "5 = sequence",
        "'5' < x",
        "true",
        "EXISTS x",
        "IS_INT('x')",
        "BOOL(x)",
        "x IN (1, 'a', TRUE)",
        "1 / x = 1",
    ] {
        Expression::parse(text).unwrap().check().unwrap();
    }
    let hint = |text: &str| {
        Expression::parse(text)
            .unwrap()
            .check()
            .unwrap_err()
            .hint
            .unwrap()
    };
    assert_eq!(hint("LEFT(id)"), "LEFT takes 2");
    assert_eq!(hint("SUBSTRING(id)"), "SUBSTRING takes 2 to 3");
    assert_eq!(hint("CONCAT_WS()"), "CONCAT_WS takes 1 or more");
    assert!(hint("NOPE()").starts_with("there are ABS, BOOL, "));
}

#[test]
fn faults_are_told() {
    let event = event("");
    for (text, message) in [
        ("missing", "the event has no attribute: missing"),
        (
            "NOPE(1)",
            "there is no such function with 1 arguments: NOPE",
        ),
        ("'x' + 1", "not an integer: \"x\""),
        ("1 / 0", "division by zero"),
        ("2147483647 + 1", "the result has more than 32 bits"),
        ("SUBSTRING('a', 5)", "arguments out of range: SUBSTRING"),
    ] {
        let expression = Expression::parse(text).unwrap();
        let (_, fault) = expression.evaluate(&event);
        assert_eq!(fault.unwrap().to_string(), message);
        assert_eq!(expression.text(), text);
    }
}
