//! Finding a node and the token it wants.

use std::path::{Path, PathBuf};

use clap::Args;
use gust_api::{
    Client,
    problem::{TOKEN_NEEDED, TOKEN_REFUSED},
};
use gust_node::ADDRESS;
use gust_types::{Blame, Error, Kind, ProjectName, Result};

/// Where a node's control API is unless it is told otherwise.
const USUAL: &str = "http://127.0.0.1:8081";

/// Which node, and on whose behalf.
#[derive(Debug, Args)]
#[command(next_help_heading = "Node")]
pub(crate) struct Remote {
    /// The node's control address; without it that of the node whose data folder is this user's, else http://127.0.0.1:8081
    #[arg(long, value_name = "URL", env = "GUST_NODE", hide_env_values = true)]
    node: Option<String>,
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

/// What is shared by everything that asks a node and prints what it says.
#[derive(Debug, Args)]
pub(crate) struct Of {
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

// === impl Remote ===

impl Remote {
    /// A client of the node.
    pub(crate) fn client(&self) -> Result<Client> {
        let node = self.node(&data_folder());
        let token = match &self.token {
            Some(token) => Some(token.trim().to_owned()),
            None if is_loopback(&node) => local_token(&data_folder())?,
            // A token is not shown to whoever happens to have an address.
            None => None,
        };
        Client::new(&node, token)
    }

    /// The node that was named, or the one that left its address in this folder.
    fn node(&self, data: &Path) -> String {
        let left = || std::fs::read_to_string(data.join(ADDRESS)).ok();
        let node = self.node.clone().or_else(left);
        let node = node.map(|node| node.trim().to_owned());
        node.filter(|node| !node.is_empty())
            .unwrap_or_else(|| USUAL.to_owned())
    }

    /// Says where the token came from, or was looked for, when the node refused. It knows more than the node's own hint,
    /// which is for programs that speak HTTP.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match self.token_hint(&error.message, &data_folder()) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    fn token_hint(&self, message: &str, data: &Path) -> Option<String> {
        let given = self.token.is_some();
        let (local, data) = (is_loopback(&self.node(data)), data.display());
        let hint = match (message, local) {
            (TOKEN_REFUSED, _) if given => {
                "GUST_TOKEN or --token has another token; the node's is in the file `token` in its data folder"
                    .to_owned()
            }
            (TOKEN_REFUSED, _) => format!(
                "the token in {data} is of another node; set GUST_DATA to the data folder that `gust serve` named at its start, or GUST_TOKEN"
            ),
            (TOKEN_NEEDED, true) => format!(
                "no token was found in {data}; set GUST_DATA to the data folder that `gust serve` named at its start, or GUST_TOKEN"
            ),
            (TOKEN_NEEDED, false) => {
                "set GUST_TOKEN to the node's token (the file `token` in its data folder)".to_owned()
            }
            _ => return None,
        };
        Some(hint)
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
    fn a_refusal_says_where_the_token_is() {
        let local = "http://127.0.0.1:8081";
        let far = "http://10.0.0.1:8081";
        for (message, node, token, said) in [
            (
                TOKEN_NEEDED,
                local,
                None,
                Some("no token was found in /d; set GUST_DATA"),
            ),
            (TOKEN_NEEDED, far, None, Some("set GUST_TOKEN")),
            (
                TOKEN_REFUSED,
                local,
                None,
                Some("the token in /d is of another node; set GUST_DATA"),
            ),
            (
                TOKEN_REFUSED,
                local,
                Some("x"),
                Some("GUST_TOKEN or --token has another token"),
            ),
            (
                TOKEN_REFUSED,
                far,
                Some("x"),
                Some("GUST_TOKEN or --token has another token"),
            ),
            ("the project is always there: default", local, None, None),
        ] {
            let remote = Remote {
                node: Some(node.to_owned()),
                token: token.map(str::to_owned),
                project: ProjectName::default_project(),
            };
            let hint = remote.token_hint(message, Path::new("/d"));
            let begins = hint.as_deref().map(|h| h.starts_with(said.unwrap_or("?")));
            assert_eq!(begins, said.map(|_| true), "{message}, {node}: {hint:?}");
            // As a node says it, with a hint of its own.
            let explained = remote.explain(Error::denied(message).hint("of the node"));
            assert_eq!(
                explained.hint.as_deref() == Some("of the node"),
                said.is_none()
            );
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
    fn the_address_that_a_node_left_counts_unless_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let remote = |node: Option<&str>| Remote {
            node: node.map(str::to_owned),
            token: None,
            project: ProjectName::default_project(),
        };
        assert_eq!(remote(None).node(dir.path()), USUAL);
        std::fs::write(dir.path().join(ADDRESS), "http://127.0.0.1:4711\n").unwrap();
        assert_eq!(remote(None).node(dir.path()), "http://127.0.0.1:4711");
        let named = "http://10.0.0.1:8081";
        assert_eq!(remote(Some(named)).node(dir.path()), named);
    }

    #[test]
    fn a_token_is_read_without_its_line_end() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(local_token(dir.path()).unwrap(), None);
        std::fs::write(dir.path().join("token"), "abc\n").unwrap();
        assert_eq!(local_token(dir.path()).unwrap().as_deref(), Some("abc"));
    }
}
