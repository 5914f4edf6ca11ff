namespace Peft

open System
open System.Text.RegularExpressions
open Argu
open Microsoft.FSharp.Reflection

/// An option as people read of it.
type OptionHelp =
    {
        /// As they are typed: `--tasks`, `--task`, `-t`; none of what a command takes without a name.
        Names: string list
        /// What follows it: `NAME`, or nothing of a flag.
        Values: string
        Text: string
        IsHidden: bool
    }

/// The options of a command, read from its union.
[<RequireQualifiedAccess>]
module OptionHelp =
    let private isOption (given: Type) (open': Type) =
        given.IsGenericType && given.GetGenericTypeDefinition() = open'

    /// `Rates of initial: float * peak: float` as `INITIAL PEAK`, `names: string list` as `NAMES ...`.
    let private values (case: UnionCaseInfo) : string =
        [
            for field in case.GetFields() do
                let name = field.Name.ToUpperInvariant()

                if isOption field.PropertyType typedefof<_ list> then
                    $"{name} ..."
                else
                    name
        ]
        |> String.concat " "

    /// The options that a parser knows, in the order of their union.
    let ofParser (parser: ArgumentParser) : OptionHelp list =
        [
            for case in parser.GetArgumentCases() do
                {
                    Names =
                        if case.IsMainCommand then
                            []
                        else
                            case.CommandLineNames.Value
                    Values = values case.UnionCaseInfo
                    Text = case.Description.Value
                    IsHidden = case.IsHidden.Value
                }
        ]

    /// The name that an option is known by: its first, or `TEXTS ...` of what has none.
    let key (option: OptionHelp) : string =
        match option.Names with
        | name :: _ -> name
        | [] -> option.Values

    /// How many words behind the option are its values in any case; none where it takes as many as come.
    let valueCount (option: OptionHelp) : int =
        if option.Values.EndsWith("...", StringComparison.Ordinal) then
            0
        else
            option.Values.Split(' ', StringSplitOptions.RemoveEmptyEntries).Length

    /// What looks like an option rather than like a value: `--task`, `-t`, not `-1` and not `--- a line`.
    let isWritten (word: string) : bool =
        Regex.IsMatch(word, "^--?[A-Za-z][A-Za-z0-9-]*$")

    let private titles =
        [
            "WHAT RUNS",
            "--tasks --task --techniques --technique --placements --placement --levels --level --seeds --seed --ablations --no-baselines --kind --priority --budget --peaks --sizes"
            "YOUR DATA", "--custom --input-column --target-column --scoring --instruction --rows"
            "MODEL AND DATA", "--model --adapter --data --prompt-text --size --start --vocabulary --text --family"
            "TRAINING",
            "--preset --epochs --batch-size --accumulation --rates --warmup --weight-decay --clip --dropout --patience --weight-by --steps --instruction-steps --length --rate --warmup-steps --cooldown --every --width --feed-forward --layers"
            "ANSWERS", "--beams --constrain"
            "LIMITS",
            "--validation-limit --test-limit --input-limit --target-limit --memory --parameters --max-minutes --max-memory --max-parameters --floor --batch --input --target"
            "MACHINE", "--device --dtype --threads --jobs --repeat --rounds --peer --kernels"
        ]

    let private rest = "FILES AND OUTPUT"

    /// The options under their titles, the titles in their order; few options need none.
    let grouped (options: OptionHelp list) : (string * OptionHelp list) list =
        let titleOf (option: OptionHelp) =
            titles
            |> List.tryFind (fun (_, names) -> names.Split ' ' |> Array.contains (key option))
            |> Option.map fst
            |> Option.defaultValue rest

        if options.Length <= 8 then
            [ "OPTIONS", options ]
        else
            [
                for title in List.map fst titles @ [ rest ] do
                    match options |> List.filter (titleOf >> (=) title) with
                    | [] -> ()
                    | own -> title, own
            ]
