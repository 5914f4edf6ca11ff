/// What people read of the commands, and how misspelt words are answered.
module Peft.Tests.HelpTests

open System
open System.Diagnostics
open System.IO
open System.Text.RegularExpressions
open Argu
open Expecto
open Peft
open Peft.Tests.Support

let private parser =
    ArgumentParser.Create<Cli.Command>(programName = "peft") :> ArgumentParser

let private pageOf (words: string list) : string =
    match Asked.ofWords parser words with
    | Asked.Page text -> text
    | other -> failtest $"{words} asks for {other}"

/// The options that stand at the beginning of a page's lines.
let private listed (page: string) : Set<string> =
    Regex.Matches(page, @"^  (-[^ ,]+(?:, -[^ ,]+)*)", RegexOptions.Multiline)
    |> Seq.collect (fun found -> found.Groups[1].Value.Split ", ")
    |> Set.ofSeq

let private commands =
    [ for case in parser.GetArgumentCases() -> case.CommandLineNames.Value.Head ]

let private problemOf (words: string list) : string =
    try
        Asked.ofWords parser words |> ignore
        failtest $"{words} was taken"
    with Misused problem ->
        problem

let private pages =
    testList
        "pages"
        [
            testCase "every command is told of once, under a title"
            <| fun () ->
                Expect.equal (List.sort (CommandHelp.all |> List.map _.Name)) (List.sort commands) "the same commands"
                let page = pageOf [ "--help" ]

                for command in commands do
                    Expect.isTrue (Regex.IsMatch(page, $"(?m)^  {command} ")) command

            testCase "a page shows the options that the command takes, and no others"
            <| fun () ->
                let sub =
                    parser.GetSubCommandParsers()
                    |> List.find (fun sub -> sub.ParentInfo.Value.CommandLineNames.Value.Head = "train")

                let sweep, train =
                    listed (pageOf [ "sweep"; "--help" ]), listed (pageOf [ "help"; "train" ])

                let all =
                    OptionHelp.ofParser sub
                    |> List.filter (_.IsHidden >> not)
                    |> List.collect _.Names
                    |> Set.ofList

                Expect.equal sweep all "all of the sweep's"

                for refused in [ "--jobs"; "-j"; "--dry-run"; "--ablations"; "--no-baselines" ] do
                    Expect.isTrue (sweep.Contains refused && not (train.Contains refused)) refused

                Expect.isTrue (train.Contains "--technique") "one technique"
                Expect.isFalse (train.Contains "--techniques") "not several"

                Expect.isFalse
                    ((listed (pageOf [ "generate"; "-h" ])).Contains "--predictions")
                    "generate scores nothing"

            testCase "what a page does not show is refused, hidden options aside"
            <| fun () ->
                Expect.equal (problemOf [ "train"; "--jobs"; "2" ]) "train does not take --jobs" "train"
                Expect.equal (problemOf [ "generate"; "--seed"; "2" ]) "generate does not take --seed" "generate"

                Expect.equal
                    (Asked.ofWords parser [ "sweep"; "--worker"; "1"; "x" ])
                    Asked.Command
                    "what processes say to each other"

            testCase "names that are shown in other words are the union's own"
            <| fun () ->
                for sub in parser.GetSubCommandParsers() do
                    let name = sub.ParentInfo.Value.CommandLineNames.Value.Head
                    let command = CommandHelp.all |> List.find (fun command -> command.Name = name)
                    let options = OptionHelp.ofParser sub
                    let keys = options |> List.map OptionHelp.key

                    for key in command.Refused @ List.map fst command.Reworded do
                        Expect.contains keys key $"{name} has it"

                    for key, (names, _, _) in command.Reworded do
                        let option = options |> List.find (OptionHelp.key >> (=) key)

                        for shown in names do
                            Expect.contains option.Names shown $"{name} takes it"

            testCase "examples name their command and options that it takes, and no line is longer than 120"
            <| fun () ->
                for command in CommandHelp.all do
                    let page = pageOf [ command.Name; "--help" ]
                    Expect.stringContains page "USAGE" "usage"

                    for line in page.Split '\n' do
                        Expect.isLessThanOrEqual line.Length 120 $"not too long: {line}"

                    for example, _ in command.Examples do
                        Expect.stringStarts example $"peft {command.Name}" "its own"
                        Expect.stringContains page example "shown"

                        if command.Name <> "completion" then
                            let words = example.Split ' ' |> List.ofArray |> List.tail

                            let written = words.Head :: (words.Tail |> List.filter OptionHelp.isWritten)

                            Expect.equal (Asked.ofWords parser written) Asked.Command example
        ]

let private typos =
    testList
        "misspelt"
        [
            for words, near in
                [
                    [ "swep" ], "'swep' is no command: did you mean sweep?"
                    [ "trian"; "--task"; "topic" ], "'trian' is no command: did you mean train?"
                    [ "train"; "--tecnique"; "lora" ],
                    "'--tecnique' is no option of train: did you mean --technique or --techniques?"
                    [ "generate"; "--adaptr"; "x"; "a text" ],
                    "'--adaptr' is no option of generate: did you mean --adapter?"
                    [ "table"; "--result"; "x" ], "'--result' is no option of table: did you mean --results?"
                    [ "completion"; "bsh" ], "'bsh' is no shell that can be completed: did you mean bash"
                    [ "sweep"; "--worke" ], "'--worke' is no option of sweep"
                    [ "juggle" ], "'juggle' is no command"
                ] do
                let name = String.Join(' ', words)

                testCase $"peft {name}"
                <| fun () -> Expect.stringStarts (problemOf words) near "the nearest"

            testCase "the value of an option may look like one"
            <| fun () ->
                for words in
                    [
                        [ "sweep"; "--worker"; "1"; "--no-spinner" ]
                        [ "sweep"; "--instruction"; "--input" ]
                    ] do
                    Expect.equal (Asked.ofWords parser words) Asked.Command (String.Join(' ', words))

            testCase "numbers below zero and texts are no options"
            <| fun () ->
                Expect.equal
                    (Asked.ofWords parser [ "generate"; "- a dash"; "--- a line"; "--beams"; "-1" ])
                    Asked.Command
                    "taken"

            testCase "techniques and tasks"
            <| fun () ->
                for words, near in
                    [
                        "lorra", "did you mean lora?"
                        "lo", "did you mean lora?"
                        "bitfti", "did you mean bitfit?"
                        "prefx(tokens=3)", "did you mean prefix?"
                    ] do
                    let error = Expect.throwsC (fun () -> Technique.parse words |> ignore) _.Message
                    Expect.stringContains error near words

                let error =
                    Expect.throwsC (fun () -> TaskDefinition.find "topik" |> ignore) _.Message

                Expect.stringContains error "Did you mean topic?" "topik"
        ]

/// What bash offers after some words, the last of which is begun.
let private offered (words: string list) : string list =
    let script =
        match Asked.ofWords parser [ "completion"; "bash" ] with
        | Asked.Script text -> text
        | other -> failtest $"{other}"

    let quoted = words |> List.map (fun word -> $"'{word}'") |> String.concat " "

    let program =
        $"{script}\nCOMP_WORDS=({quoted})\nCOMP_CWORD={words.Length - 1}\n_peft\nprintf '%%s\\n' \"${{COMPREPLY[@]}}\""

    let start =
        ProcessStartInfo("bash", [ "--norc"; "-c"; program ], RedirectStandardOutput = true)

    use child = Process.Start start |> Option.ofObj |> Option.get
    let output = child.StandardOutput.ReadToEnd()
    child.WaitForExit()
    Expect.equal child.ExitCode 0 "bash takes the script"
    output.Split('\n', StringSplitOptions.RemoveEmptyEntries) |> List.ofArray

let private completion =
    testList
        "completion"
        [
            testCase "bash offers commands, a command's options, and the words of an option"
            <| fun () ->
                if OperatingSystem.IsWindows() then
                    skiptest "bash"

                Expect.equal (offered [ "peft"; "sw" ]) [ "sweep" ] "a command"
                Expect.equal (offered [ "peft"; "train"; "--te" ]) [ "--technique"; "--test-limit" ] "options"
                Expect.equal (offered [ "peft"; "train"; "--jo" ]) [] "none that it refuses"
                Expect.equal (offered [ "peft"; "train"; "--technique"; "lo" ]) [ "lora" ] "a technique"
                Expect.equal (offered [ "peft"; "train"; "-t"; "top" ]) [ "topic" ] "a short name"
                Expect.equal (offered [ "peft"; "table"; "-t"; "table2" ]) [ "table2" ] "which means another thing here"
                Expect.equal (offered [ "peft"; "evaluate"; "--adapter"; "x" ]) [] "files are bash's own"

            testCase "all three shells are told of all commands and options"
            <| fun () ->
                let pages =
                    commands
                    |> List.map (fun command -> command, listed (pageOf [ command; "--help" ]))

                for shell in [ "bash"; "zsh"; "powershell" ] do
                    match Asked.ofWords parser [ "completion"; shell ] with
                    | Asked.Script text ->
                        for command, options in pages do
                            for word in command :: Set.toList options do
                                Expect.isTrue (Regex.IsMatch(text, $"(?<![\\w-]){word}(?![\\w-])")) $"{shell}: {word}"
                    | other -> failtest $"{other}"
        ]

let private results =
    testCase "a results folder is named in one way: --results"
    <| fun () ->
        inTemporaryFolder (fun folder ->
            let missing = Path.Combine(folder, "none")

            for command in [ "table"; "report" ] do
                let code, _, error = OptionsTests.peft [ command; "--results"; missing ]
                Expect.equal code 1 "none there"
                Expect.stringContains error missing command

            let code, _, error = OptionsTests.peft [ "report"; "--results"; missing; folder ]
            Expect.equal code 1 "two"
            Expect.stringContains error "--results" "which")

[<Tests>]
let tests = testList "Help" [ pages; typos; completion; results ]
