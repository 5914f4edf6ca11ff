namespace Peft

open TorchSharp

/// Soft tokens before a model's embedded input (prompt tuning, Lester et al. 2021).
[<ReferenceEquality>]
type SoftPrompt =
    | NoPrompt
    /// [tokens, width], the same before every row.
    | OnePrompt of Leaf
    /// The soft tokens of each member of a routed model (`Model.route`), none for a member without.
    | PromptOfMember of Leaf option list

[<RequireQualifiedAccess>]
module SoftPrompt =
    /// The name of the one prompt among a model's leaves; those of a routed model add a dot and the member's number.
    let leafName = "prompt_embeddings"

    /// Applies `f name leaf` to every prompt.
    let mapLeaves (f: string -> Leaf -> Leaf) (prompt: SoftPrompt) : SoftPrompt =
        match prompt with
        | NoPrompt -> NoPrompt
        | OnePrompt leaf -> OnePrompt(f leafName leaf)
        | PromptOfMember members ->
            members
            |> List.mapi (fun number -> Option.map (f $"{leafName}.{number}"))
            |> PromptOfMember

    /// The prompt of each row [rows, tokens, width] and its mask [rows, tokens]: shorter ones are masked on their left.
    let private ofRows (pass: Pass) (members: Leaf option list) (embedded: torch.Tensor) =
        let width, device = embedded.size -1, embedded.device

        let length (prompt: Leaf option) =
            match prompt with
            | Some leaf -> leaf.Value.size 0
            | None -> 0L

        match pass.Routes with
        | None -> invalidArg (nameof pass) "a routed model needs a pass with routes: Pass.Evaluation.Along [| 0; 1 |]"
        | Some routes ->
            // A beam search may have several lines for each row of the batch.
            let lines = int (embedded.size 0)
            let perRow = lines / routes.Length
            let chosen = Array.init lines (fun line -> members[routes[line / perRow]])
            let longest = chosen |> Array.map length |> Array.max

            let padded (prompt: Leaf option) =
                let empty =
                    torch.zeros (longest - length prompt, width, dtype = torch.float32, device = device)

                match prompt with
                | Some leaf -> torch.cat ([| empty; leaf.Value |], 0L)
                | None -> empty

            let mask =
                [|
                    for prompt in chosen do
                        for place in 1L .. longest -> if place > longest - length prompt then 1L else 0L
                |]

            let ids = torch.tensor (mask, device = device)
            torch.stack (Array.map padded chosen), ids.view (int64 lines, longest)

    /// Puts the prompt before embedded rows [rows, length, width] and ones before their mask [rows, length]; the result has
    /// the dtype of `embedded`.
    let before
        (pass: Pass)
        (prompt: SoftPrompt)
        (mask: torch.Tensor option)
        (embedded: torch.Tensor)
        : torch.Tensor * torch.Tensor option =
        let rows = embedded.size 0

        match prompt with
        | NoPrompt -> embedded, mask
        | PromptOfMember members ->
            let soft, softMask = ofRows pass members embedded

            let mask =
                match mask with
                | Some mask -> mask
                | None -> softMask.new_ones (rows, embedded.size 1)

            torch.cat ([| soft.``to`` embedded.dtype; embedded |], 1L), Some(torch.cat ([| softMask; mask |], 1L))
        | OnePrompt leaf ->
            let soft = (Leaf.cast embedded.dtype leaf).unsqueeze(0L).expand(rows, -1L, -1L)

            torch.cat ([| soft; embedded |], 1L),
            mask
            |> Option.map (fun mask -> torch.cat ([| mask.new_ones (rows, leaf.Value.size 0); mask |], 1L))
