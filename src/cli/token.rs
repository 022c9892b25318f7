//! `portcullis token`: a token on the standard output, and nothing else there.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use super::connection::Connection;
use super::holder::ProofFor;
use super::output::{Output, print};
use crate::model::{EntitlementId, TaskId};

/// What `token` takes.
#[derive(Clone, Debug, Args)]
pub(super) struct TokenArgs {
    /// The task it is bound to; without one it reaches baseline operations only
    #[arg(long, value_name = "ID")]
    task: Option<TaskId>,
    /// An entitlement to ask for in the same step; may be given several times
    #[arg(long, value_name = "ENTITLEMENT", requires = "task")]
    scope: Vec<EntitlementId>,
    /// Print the two headers of one request, which is proved with the token's key: for `curl -H @-`
    #[arg(long, value_name = "METHOD URL")]
    proof_for: Option<ProofFor>,
}

pub(super) async fn run(args: TokenArgs, connection: &Connection) -> anyhow::Result<ExitCode> {
    let identity = connection.identity()?;
    if args.proof_for.is_some() && identity.holder().is_none() {
        bail!("a proof is made with the key that the token is bound to: add --dpop");
    }
    let mut answer = identity.token(args.task.as_ref(), &args.scope).await?;
    let proof = match (&args.proof_for, identity.holder()) {
        (Some(request), Some(holder)) => Some(holder.proof(request, &answer.token)?),
        _ => None,
    };
    let token = answer.token.expose();
    match (connection.output, proof) {
        (Output::Json, proof) => {
            if let (Some(proof), Some(document)) = (proof, answer.document.as_object_mut()) {
                document.insert("dpop_proof".to_owned(), proof.expose().as_str().into());
            }
            print(&format!("{:#}", answer.document))?;
        }
        (Output::Text, Some(proof)) => {
            let proof = proof.expose();
            print(&format!("Authorization: DPoP {token}\nDPoP: {proof}"))?;
        }
        (Output::Text, None) => print(token)?,
    }
    Ok(ExitCode::SUCCESS)
}
