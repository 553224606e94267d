//! Completions, manual pages and help texts, all from the one tree.

use super::tree::tree;
use clap::Command;
use clap_complete::Shell;

/// The completion script of a shell.
#[must_use]
pub fn completion(shell: &str) -> Vec<u8> {
    let shell = match shell {
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        _ => Shell::Bash,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut tree(), "neap", &mut script);
    script
}

fn find(verb: &str) -> Option<Command> {
    let mut whole = tree();
    whole.build();

    whole.find_subcommand(verb).filter(|command| !command.is_hide_set()).cloned()
}

/// The manual page of a verb in roff; `None`: there is no such verb.
#[must_use]
pub fn man(verb: Option<&str>) -> Option<Vec<u8>> {
    let command = match verb {
        None => tree(),
        Some(verb) => {
            let command = find(verb)?;
            let name = format!("neap-{verb}");
            command.display_name(name.clone()).name(name)
        }
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).ok()?;
    Some(page)
}

/// The help of a verb, or of everything; `None`: there is no such verb.
#[must_use]
pub fn help_of(verb: Option<&str>) -> Option<String> {
    match verb {
        None => Some(tree().render_help().to_string()),
        Some(verb) => find(verb).map(|mut command| command.render_help().to_string()),
    }
}
