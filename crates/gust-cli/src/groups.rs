//! What usage and bills are told apart by: one row for each project, app or function; of one project or of all.

use clap::ValueEnum;
use gust_api::usage::GroupBy;
use gust_types::{AppName, FunctionName, ProjectName};

use crate::remote::Remote;

/// The flags that `usage` and `bill` share.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Groups {
    /// One row for each
    #[arg(long, value_enum, default_value_t = By::Function)]
    by: By,
    /// Over all projects of the node, whatever --project says
    #[arg(long)]
    all_projects: bool,
}

/// The words of `--by`.
#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum By {
    Project,
    App,
    Function,
}

// === impl Groups ===

impl Groups {
    /// In the words of the API.
    pub(crate) fn by(self) -> GroupBy {
        match self.by {
            By::Project => GroupBy::Project,
            By::App => GroupBy::App,
            By::Function => GroupBy::Function,
        }
    }

    /// The one project that is asked for; none means all.
    pub(crate) fn project(self, remote: &Remote) -> Option<&ProjectName> {
        (!self.all_projects).then_some(&remote.project)
    }

    /// The columns that name a row, for people: the project only where it tells rows apart.
    pub(crate) fn heading(self) -> Vec<&'static str> {
        let shown = [
            ("PROJECT", self.shows_project()),
            ("APP", self.by != By::Project),
            ("FUNCTION", self.by == By::Function),
        ];
        let shown = shown.into_iter().filter(|(_, shown)| *shown);
        shown.map(|(name, _)| name).collect()
    }

    /// The cells below that heading.
    pub(crate) fn cells(
        self,
        project: &ProjectName,
        app: Option<&AppName>,
        function: Option<&FunctionName>,
    ) -> Vec<String> {
        let mut cells = Vec::new();
        cells.extend(self.shows_project().then(|| project.to_string()));
        cells.extend(app.map(ToString::to_string));
        cells.extend(function.map(ToString::to_string));
        cells
    }

    /// The cells of the last row, which sums up the others.
    pub(crate) fn total(self) -> Vec<String> {
        let mut cells = vec![String::new(); self.heading().len()];
        cells[0] = "total".to_owned();
        cells
    }

    pub(crate) fn shows_project(self) -> bool {
        self.all_projects || self.by == By::Project
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_below_their_heading() {
        let (project, app) = ("p".parse().unwrap(), "a".parse().unwrap());
        let function = "f".parse().unwrap();
        for (by, all_projects, heading, cells) in [
            (By::Project, false, "PROJECT", "p"),
            (By::Project, true, "PROJECT", "p"),
            (By::App, false, "APP", "a"),
            (By::App, true, "PROJECT APP", "p a"),
            (By::Function, false, "APP FUNCTION", "a f"),
            (By::Function, true, "PROJECT APP FUNCTION", "p a f"),
        ] {
            let groups = Groups { by, all_projects };
            // The API leaves out what a row is summed over.
            let app = (by != By::Project).then_some(&app);
            let function = (by == By::Function).then_some(&function);
            assert_eq!(groups.heading().join(" "), heading);
            assert_eq!(groups.cells(&project, app, function).join(" "), cells);
            assert_eq!(groups.total().len(), groups.heading().len());
        }
    }
}
