namespace Peft

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

    /// What is said of a task of the user's own rows, before a run; nothing of the known tasks.
    let tellOwn (task: TaskDefinition) (split: Split) : unit =
        if TaskDefinition.all |> List.forall (fun known -> known.Name <> task.Name) then
            OwnData.describe task split |> List.iter (printfn "%s")
