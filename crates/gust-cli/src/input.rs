//! What `publish` takes: data from the command line, a file or stdin, attributes, and lines in lots.

use std::{
    io::{BufRead as _, Read as _},
    str::FromStr,
};

use gust_task::clock;
use gust_types::{Error, Result};

use crate::{output, progress::Bars, remote::Of};

/// The largest body that is sent: what a queue or a topic takes.
const MAX_BODY: u64 = 1 << 20;
/// Lines published in one request.
const LINES: usize = 500;

/// `name=value`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attribute(pub(crate) String, pub(crate) String);

impl FromStr for Attribute {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once('=');
        let (name, value) = parts.ok_or_else(|| Error::invalid("write it as NAME=VALUE"))?;
        Ok(Self(name.to_owned(), value.to_owned()))
    }
}

/// Text, `@FILE`, or `@-` for stdin.
pub(crate) fn read(data: &str) -> Result<Vec<u8>> {
    let Some(path) = data.strip_prefix('@') else {
        return Ok(data.as_bytes().to_vec());
    };
    let mut bytes = Vec::new();
    let read = match path {
        "-" => std::io::stdin()
            .lock()
            .take(MAX_BODY + 1)
            .read_to_end(&mut bytes),
        path => std::fs::File::open(path)
            .and_then(|file| file.take(MAX_BODY + 1).read_to_end(&mut bytes)),
    };
    read.map_err(|e| Error::invalid(format!("cannot read the data: {path}")).because(e))?;
    if bytes.len() as u64 > MAX_BODY {
        let text = format!("the data is larger than {MAX_BODY} bytes");
        return Err(Error::invalid(text));
    }
    Ok(bytes)
}

/// Publishes every line of stdin, some hundreds at once, and says how many and how fast. What a failure leaves behind is
/// said: so many are published, the rest is not.
pub(crate) async fn publish_lines<T>(
    of: &Of,
    what: &str,
    mut made: impl FnMut(Vec<u8>) -> Result<T>,
    mut send: impl AsyncFnMut(Vec<T>) -> Result<()>,
) -> Result<()> {
    let (progress, begun) = (Bars::new(), clock::now());
    let spinner = progress.spinner("publishing");
    let mut lines = std::io::stdin().lock().lines();
    let mut count = 0u64;
    loop {
        let mut lot = Vec::new();
        for line in lines.by_ref().take(LINES) {
            let line =
                line.map_err(|e| Error::invalid("cannot read lines from stdin").because(e))?;
            lot.push(made(line.into_bytes())?);
        }
        if lot.is_empty() {
            break;
        }
        let sent = lot.len() as u64;
        if let Err(error) = send(lot).await {
            progress.clear();
            output::say(&format!("{count} lines were published before this"));
            return Err(error);
        }
        count += sent;
        spinner.set_message(format!("published {count} {what}"));
    }
    progress.clear();
    if of.json {
        return output::json(&serde_json::json!({ "count": count }));
    }
    let rate = count as f64 / begun.elapsed().as_secs_f64().max(0.001);
    output::say(&format!("published {count} {what}, {rate:.0}/s"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_have_a_name_and_a_value() {
        let read = |text: &str| text.parse::<Attribute>();
        assert_eq!(read("a=b=c").unwrap(), Attribute("a".into(), "b=c".into()));
        assert!(read("a").is_err());
    }

    #[test]
    fn data_is_text_or_a_file_of_bounded_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("正文");
        std::fs::write(&path, "内容").unwrap();
        let file = format!("@{}", path.display());
        assert_eq!(read(&file).unwrap(), "内容".as_bytes());
        assert_eq!(read("正文").unwrap(), "正文".as_bytes());
        std::fs::write(&path, vec![b'a'; (1 << 20) + 1]).unwrap();
        assert!(read(&file).unwrap_err().message.contains("larger than"));
        assert!(read("@/nowhere").is_err());
    }
}
