namespace Peft

open System
open Argu

/// What a command line asks for, before its options are read.
[<RequireQualifiedAccess>]
type Asked =
    /// A command, with words that are all known to it.
    | Command
    /// A page of help.
    | Page of text: string
    /// A shell's completion script.
    | Script of text: string

/// From words to what they ask for; `Misused` where no command or no option is called so.
[<RequireQualifiedAccess>]
module Asked =
    let private isHelp (word: string) = word = "--help" || word = "-h"

    /// The commands of a parser: name, summary, parser of their options where they have any.
    let private commands (parser: ArgumentParser) : (CommandHelp * string * OptionHelp list) list =
        let summaries =
            dict
                [
                    for case in parser.GetArgumentCases() do
                        match case.CommandLineNames.Value with
                        | name :: _ -> name, case.Description.Value
                        | [] -> ()
                ]

        let options =
            dict
                [
                    for sub in parser.GetSubCommandParsers() do
                        match sub.ParentInfo with
                        | Some case -> case.CommandLineNames.Value.Head, OptionHelp.ofParser sub
                        | None -> ()
                ]

        [
            for command in CommandHelp.all do
                let found, own = options.TryGetValue command.Name

                command, summaries[command.Name], (if found then own else [])
        ]

    /// A word that nothing is called, with the nearest that there are.
    let private unknown (what: string) (known: string list) (word: string) : 'a =
        match Nearest.among 3 known word with
        | [] -> raise (Misused $"'{word}' is no {what}")
        | near -> raise (Misused $"'{word}' is no {what}: did you mean {Nearest.orList near}?")

    /// The words but those that are values of the option before them, whatever these look like.
    let rec private withoutValues (options: OptionHelp list) (words: string list) : string list =
        match words with
        | [] -> []
        | word :: rest ->
            let values =
                options
                |> List.tryFind (fun option -> List.contains word option.Names)
                |> Option.map OptionHelp.valueCount
                |> Option.defaultValue 0

            word :: withoutValues options (rest |> List.skip (min values rest.Length))

    let private checkOptions (command: CommandHelp) (options: OptionHelp list) (words: string list) : unit =
        let isRefused (option: OptionHelp) =
            List.contains (OptionHelp.key option) command.Refused

        for word in words |> withoutValues options |> List.filter OptionHelp.isWritten do
            match options |> List.tryFind (fun option -> List.contains word option.Names) with
            | Some option when isRefused option -> raise (Misused $"{command.Name} does not take {word}")
            | Some _ -> ()
            | None ->
                let known =
                    options
                    |> List.filter (fun option -> not (option.IsHidden || isRefused option))
                    |> List.collect _.Names

                unknown $"option of {command.Name}" known word

    let private completion (known: Completion.Known) (words: string list) : string =
        let names = Completion.shells |> List.map fst

        match words with
        | [ shell ] ->
            match Completion.shells |> List.tryFind (fst >> (=) shell) with
            | Some(_, script) -> script known
            | None -> unknown "shell that can be completed" names shell
        | _ -> raise (Misused $"completion needs a shell: {Nearest.orList names}")

    /// What the words ask for; all that is unknown in them is refused.
    let ofWords (parser: ArgumentParser) (words: string list) : Asked =
        let commands = commands parser

        let pageOf (command: CommandHelp, summary, options) =
            CommandHelp.options command options
            |> HelpPage.ofCommand $"peft {command.Name}" summary command.Examples
            |> Asked.Page

        let all () =
            commands
            |> List.map (fun (command, summary, _) -> command.Group, command.Name, summary)
            |> HelpPage.ofAll
            |> Asked.Page

        let named (word: string) =
            match commands |> List.tryFind (fun (command, _, _) -> command.Name = word) with
            | Some command -> command
            | None -> unknown "command" (commands |> List.map (fun (command, _, _) -> command.Name)) word

        match words with
        | [] -> raise (Misused "no command is given")
        | [ "help" ] -> all ()
        | [ "help"; word ] -> named word |> pageOf
        | first :: _ when isHelp first -> all ()
        | first :: rest when List.exists isHelp rest -> named first |> pageOf
        | "completion" :: rest ->
            let known =
                [
                    for command, summary, options in commands ->
                        command.Name, summary, CommandHelp.options command options
                ]

            Asked.Script(completion (Completion.known known) rest)
        | first :: rest ->
            let command, _, options = named first
            checkOptions command options rest
            Asked.Command

    /// Options alone, as scripts take them: a page where that is asked for, and nothing unknown.
    let ofOptions (command: string) (program: string) (parser: ArgumentParser) (words: string list) : string option =
        let options = OptionHelp.ofParser parser

        match CommandHelp.all |> List.tryFind (fun known -> known.Name = command) with
        | Some known when List.exists isHelp words ->
            CommandHelp.options known options
            |> HelpPage.ofCommand program $"What peft {command} does, with this script's recipe." []
            |> Some
        | Some known ->
            checkOptions known options words
            None
        | None -> raise (ArgumentException($"{command} is no command", nameof command))
