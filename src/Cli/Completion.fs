namespace Peft

/// Completion scripts of shells: commands, their options, and the words that some options take; files otherwise.
[<RequireQualifiedAccess>]
module Completion =
    /// What is completed: each command with its summary and options, and after which words which values come.
    type Known =
        {
            Commands: (string * string * OptionHelp list) list
            /// For `sweep --task`, `sweep -t`: the values.
            Values: (string list * string list) list
        }

    let private techniques = Technique.specs |> List.map _.Name
    let private tasks = "suite" :: (TaskDefinition.all |> List.map _.Name)
    let private dtypes = [ "float32"; "bfloat16" ]
    let private levels = [ "low"; "medium"; "high"; "all-rows" ]

    let private placements =
        [ "all"; "early"; "late"; "self"; "cross"; "encoder"; "decoder" ]

    /// The words of an option, by its names.
    let private words: (string * string list) list =
        [
            for name in [ "--techniques"; "--technique" ] do
                name, techniques
            for name in [ "--tasks"; "--task" ] do
                name, tasks
            for name in [ "--levels"; "--level" ] do
                name, levels
            for name in [ "--placements"; "--placement" ] do
                name, placements
            "--dtype", dtypes
            "--device", [ "cpu"; "cuda" ]
            "--scoring", Metrics.all |> List.map _.Name
            "--priority", [ "quality"; "time"; "memory"; "size" ]
            "--preset", [ "paper"; "small" ]
            "--constrain", [ "labels" ]
            "--kind", [ "classification"; "generation" ]
            "--format", [ "text"; "markdown"; "latex"; "csv" ]
            "--tables", "all" :: (AllTables.all |> List.map (fun (name, _, _, _) -> name))
            "--convention", [ "paper"; "tfew"; "hf" ]
        ]

    /// What is known of commands with their summaries and options.
    let known (commands: (string * string * OptionHelp list) list) : Known =
        {
            Commands = commands
            Values =
                [
                    for values in words |> List.map snd |> List.distinct do
                        let places =
                            [
                                for command, _, options in commands do
                                    for option in options do
                                        let isTaken name =
                                            words |> List.exists (fun (known, own) -> known = name && own = values)

                                        if List.exists isTaken option.Names then
                                            for name in option.Names -> $"{command} {name}"
                            ]

                        if not places.IsEmpty then
                            places, values
                ]
        }

    let private line (words: string list) = String.concat " " words

    let private quotedPlaces (places: string list) =
        places |> List.map (fun place -> $"\"{place}\"") |> String.concat "|"

    let private optionNames (options: OptionHelp list) =
        "--help" :: (options |> List.collect _.Names)

    /// For bash: `source <(peft completion bash)`.
    let bash (known: Known) : string =
        [
            "_peft() {"
            "    local current=\"${COMP_WORDS[COMP_CWORD]}\" previous=\"${COMP_WORDS[COMP_CWORD-1]}\" words=\"\""
            "    local command=\"${COMP_WORDS[1]}\""
            "    COMPREPLY=()"
            "    if [ \"$COMP_CWORD\" -eq 1 ]; then"
            $"        words=\"{line (known.Commands |> List.map (fun (name, _, _) -> name))}\""
            "    else"
            "        case \"$command $previous\" in"
            for places, values in known.Values do
                $"            {quotedPlaces places}) words=\"{line values}\" ;;"
            "        esac"
            "        if [ -z \"$words\" ] && [ \"${current#-}\" != \"$current\" ]; then"
            "            case \"$command\" in"
            for name, _, options in known.Commands do
                $"                {name}) words=\"{line (optionNames options)}\" ;;"
            "            esac"
            "        fi"
            "    fi"
            "    [ -z \"$words\" ] || COMPREPLY=( $(compgen -W \"$words\" -- \"$current\") )"
            "}"
            "complete -o bashdefault -o default -F _peft peft"
        ]
        |> String.concat "\n"

    let private single (text: string) = text.Replace("'", "''")

    /// For zsh: `source <(peft completion zsh)`, or as `_peft` in a folder of `fpath`.
    let zsh (known: Known) : string =
        [
            "#compdef peft"
            "_peft() {"
            "    local command=$words[2] previous=$words[CURRENT-1]"
            "    if (( CURRENT == 2 )); then"
            "        local -a commands=("
            for name, summary, _ in known.Commands do
                // In zsh's words a quote ends a text, stands for itself, and begins it again.
                let text = summary.Replace("'", "'\\''").Replace(":", "\\:")
                $"            '{name}:{text}'"
            "        )"
            "        _describe command commands"
            "        return"
            "    fi"
            "    case \"$command $previous\" in"
            for places, values in known.Values do
                $"        ({quotedPlaces places}) compadd -- {line values}; return ;;"
            "    esac"
            "    if [[ $PREFIX == -* ]]; then"
            "        case $command in"
            for name, _, options in known.Commands do
                $"            ({name}) compadd -- {line (optionNames options)} ;;"
            "        esac"
            "    else"
            "        _files"
            "    fi"
            "}"
            "if [ \"$funcstack[1]\" = \"_peft\" ]; then _peft \"$@\"; else compdef _peft peft; fi"
        ]
        |> String.concat "\n"

    /// For PowerShell: `peft completion powershell | Out-String | Invoke-Expression`.
    let powershell (known: Known) : string =
        let list (words: string list) =
            words |> List.map (fun word -> $"'{single word}'") |> String.concat ", "

        [
            "Register-ArgumentCompleter -Native -CommandName peft -ScriptBlock {"
            "    param($wordToComplete, $commandAst, $cursorPosition)"
            "    $words = @($commandAst.CommandElements | ForEach-Object { $_.ToString() })"
            "    if ($wordToComplete -ne '') { $words = @($words | Select-Object -SkipLast 1) }"
            "    $options = @{"
            for name, _, options in known.Commands do
                $"        '{name}' = @({list (optionNames options)})"
            "    }"
            "    $values = @{"
            for places, values in known.Values do
                for place in places do
                    $"        '{place}' = @({list values})"
            "    }"
            "    $found = @()"
            $"    if ($words.Count -le 1) {{ $found = @({list (known.Commands |> List.map (fun (name, _, _) -> name))}) }}"
            "    else {"
            "        $found = $values[\"$($words[1]) $($words[-1])\"]"
            "        if ($null -eq $found -and $wordToComplete.StartsWith('-')) { $found = $options[$words[1]] }"
            "    }"
            "    $found | Where-Object { $_ -like \"$wordToComplete*\" } | ForEach-Object {"
            "        [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)"
            "    }"
            "}"
        ]
        |> String.concat "\n"

    /// The shells that have a script.
    let shells: (string * (Known -> string)) list =
        [ "bash", bash; "zsh", zsh; "powershell", powershell ]
