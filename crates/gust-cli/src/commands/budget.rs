//! `gust budget`: the sum at which calls are refused.

use clap::Subcommand;
use gust_api::usage::{Budget, BudgetState, Standing};
use gust_types::Result;

use crate::{output, remote::Remote};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the budget and how much of it is used
    Show {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Set what the project may cost in a calendar month
    Set {
        /// The sum, in the node's currency; 0 refuses every call
        amount: String,
        /// Warn at this share of it, in percent
        #[arg(long, value_name = "PERCENT", default_value_t = 80, value_parser = clap::value_parser!(u32).range(1..=100))]
        warn: u32,
        #[command(flatten)]
        remote: Remote,
    },
    /// Lift the budget
    Rm {
        #[command(flatten)]
        remote: Remote,
    },
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    match &args.action {
        Action::Show { json, remote } => {
            let asked = remote.client()?.budget(&remote.project).await;
            let state = asked.map_err(|e| remote.explain(e))?;
            match json {
                true => output::json(&state)?,
                false => output::line(&describe(&state))?,
            }
        }
        Action::Set {
            amount,
            warn,
            remote,
        } => {
            let budget = Budget {
                monthly: amount.clone(),
                warn_percent: Some(*warn),
            };
            let set = remote.client()?.set_budget(&remote.project, budget).await;
            output::say(&describe(&set.map_err(|e| remote.explain(e))?));
        }
        Action::Rm { remote } => {
            let lifted = remote.client()?.clear_budget(&remote.project).await;
            lifted.map_err(|e| remote.explain(e))?;
            output::say(&format!(
                "{} has no budget: calls are never refused for their cost",
                remote.project
            ));
        }
    }
    Ok(crate::OK)
}

fn describe(state: &BudgetState) -> String {
    let spent = format!(
        "{} {} spent in {}",
        state.spent, state.currency, state.month
    );
    let Some(budget) = &state.budget else {
        return format!("{}: no budget, {spent}", state.project);
    };
    let standing = match state.standing {
        Standing::Ok => "calls are served",
        Standing::Warn => "calls are served, the warning is reached",
        Standing::Refuse => "calls are refused",
    };
    format!(
        "{}: {} {} a month, {spent}; {standing}",
        state.project, budget.monthly, state.currency
    )
}
