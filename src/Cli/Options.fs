namespace Peft

open System.IO
open TorchSharp

/// What the options of several commands have in common.
[<RequireQualifiedAccess>]
module Options =
    /// Names given one by one or with commas, or both; a comma inside brackets belongs to its name.
    let names (given: string list) : string list =
        let split (text: string) =
            let mutable depth = 0
            let parts = ResizeArray [ "" ]

            for letter in text do
                match letter with
                | ',' when depth = 0 -> parts.Add ""
                | _ ->
                    if letter = '(' then
                        depth <- depth + 1

                    if letter = ')' then
                        depth <- depth - 1

                    parts[parts.Count - 1] <- parts[parts.Count - 1] + string letter

            List.ofSeq parts

        given
        |> List.collect split
        |> List.map _.Trim()
        |> List.filter ((<>) "")
        |> List.distinct

    /// More than any machine has; OpenMP ends the process when it cannot start as many as it is told to.
    let private mostThreads = 1024

    /// A number of threads that can be asked for; `UserError` otherwise.
    let threads (count: int) : int =
        if count < 1 || count > mostThreads then
            userError $"--threads is {count}; it is a number from 1 to {mostThreads}."

        count

    /// Sets libtorch's number of threads, where one is given.
    let useThreads (count: int option) : unit =
        count |> Option.iter (threads >> torch.set_num_threads)

    /// The user's own folder as a task named after it.
    let customTask
        (folder: string)
        (input: string)
        (target: string)
        (scoring: string)
        (instruction: string option)
        : TaskDefinition =
        let whole = Path.TrimEndingDirectorySeparator(Path.GetFullPath folder)

        TaskDefinition.custom
            {
                Name = (string (Path.GetFileName whole)).ToLowerInvariant().Replace(' ', '-')
                Folder = whole
                Train = None
                Validation = None
                Test = None
                InputColumn = input
                TargetColumn = target
                Scoring = scoring
                Instruction = instruction
            }
