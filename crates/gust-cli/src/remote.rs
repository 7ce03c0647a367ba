//! Finding a node and the token it wants.

use std::path::{Path, PathBuf};

use clap::Args;
use gust_api::Client;
use gust_types::{Blame, Error, Kind, ProjectName, Result};

/// Which node, and on whose behalf.
#[derive(Debug, Args)]
#[command(next_help_heading = "Node")]
pub(crate) struct Remote {
    /// The node's control address
    #[arg(
        long,
        value_name = "URL",
        env = "GUST_NODE",
        hide_env_values = true,
        default_value = "http://127.0.0.1:8081"
    )]
    node: String,
    /// The node's token; without it that of a node on this machine is read from its data folder
    #[arg(long, env = "GUST_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The project
    #[arg(
        long,
        env = "GUST_PROJECT",
        hide_env_values = true,
        default_value = "default"
    )]
    pub(crate) project: ProjectName,
}

// === impl Remote ===

impl Remote {
    /// A client of the node.
    pub(crate) fn client(&self) -> Result<Client> {
        let token = match &self.token {
            Some(token) => Some(token.trim().to_owned()),
            None if is_loopback(&self.node) => local_token(&data_folder())?,
            // A token is not shown to whoever happens to have an address.
            None => None,
        };
        Client::new(&self.node, token)
    }

    /// Says which token was meant when the node refused.
    pub(crate) fn explain(&self, error: Error) -> Error {
        if error.kind != Kind::Denied || error.hint.is_some() || self.token.is_some() {
            return error;
        }
        let hint = match is_loopback(&self.node) {
            true => format!(
                "no token was found in {}; set GUST_DATA to the node's data folder, or GUST_TOKEN",
                data_folder().display()
            ),
            false => "set GUST_TOKEN to the node's token (the file `token` in its data folder)"
                .to_owned(),
        };
        error.hint(hint)
    }
}

/// Where a node of this user keeps everything unless told otherwise: `GUST_DATA`, else below `XDG_DATA_HOME`, else below the home folder.
pub(crate) fn data_folder() -> PathBuf {
    choose_data_folder(|name| std::env::var_os(name).map(PathBuf::from))
}

fn choose_data_folder(read: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    let set = |name| read(name).filter(|p| !p.as_os_str().is_empty());
    set("GUST_DATA")
        .or_else(|| {
            set("XDG_DATA_HOME")
                .filter(|p| p.is_absolute())
                .map(|p| p.join("gust"))
        })
        .or_else(|| set("HOME").map(|p| p.join(".local/share/gust")))
        .unwrap_or_else(|| PathBuf::from("gust-data"))
}

/// The token that a node has left for the command line, if there is one.
pub(crate) fn local_token(data: &Path) -> Result<Option<String>> {
    let file = data.join("token");
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|t| !t.is_empty())),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let message = format!("cannot read the node's token: {}", file.display());
            Err(Error::new(Kind::Denied, Blame::Caller, message)
                .because(error)
                .hint("run this as the user who runs the node, or set GUST_TOKEN"))
        }
        Err(_) => Ok(None),
    }
}

fn is_loopback(url: &str) -> bool {
    let Some(host) = url
        .parse::<http::Uri>()
        .ok()
        .and_then(|u| u.host().map(str::to_owned))
    else {
        return false;
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost"
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_folder_is_found_in_order() {
        let chosen = |vars: &[(&str, &str)]| {
            choose_data_folder(|name| {
                let found = vars.iter().find(|(n, _)| *n == name);
                found.map(|(_, v)| PathBuf::from(v))
            })
        };
        let home = ("HOME", "/home/x");
        for (vars, expected) in [
            (
                vec![("GUST_DATA", "/srv/gust"), ("XDG_DATA_HOME", "/xdg"), home],
                "/srv/gust",
            ),
            (
                vec![("GUST_DATA", ""), ("XDG_DATA_HOME", "/xdg"), home],
                "/xdg/gust",
            ),
            (
                vec![("XDG_DATA_HOME", "relative"), home],
                "/home/x/.local/share/gust",
            ),
            (vec![], "gust-data"),
        ] {
            assert_eq!(chosen(&vars), Path::new(expected), "{vars:?}");
        }
    }

    #[test]
    fn a_local_token_goes_to_this_machine_only() {
        for (url, local) in [
            ("http://127.0.0.1:8081", true),
            ("http://127.9.9.9", true),
            ("http://[::1]:8081", true),
            ("http://localhost:1", true),
            ("http://10.0.0.1:8081", false),
            ("http://localhost.example.com", false),
            ("nonsense", false),
        ] {
            assert_eq!(is_loopback(url), local, "{url}");
        }
    }

    #[test]
    fn a_token_is_read_without_its_line_end() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(local_token(dir.path()).unwrap(), None);
        std::fs::write(dir.path().join("token"), "abc\n").unwrap();
        assert_eq!(local_token(dir.path()).unwrap().as_deref(), Some("abc"));
    }
}
