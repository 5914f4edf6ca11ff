namespace Peft

/// T5's denoising objective (Raffel et al. 2020, §3.1.4): spans of the text are replaced by a sentinel each; the target
/// lists the sentinels with what they stand for.
[<RequireQualifiedAccess>]
module SpanCorruption =
    /// T5's share of tokens that are hidden.
    let density = 0.15

    /// T5's mean length of a hidden span, in tokens.
    let meanSpan = 3.0

    /// A number in [0, bound).
    let private below (next: unit -> uint64) (bound: int) = int (next () % uint64 bound)

    /// Cuts `total` into `parts` lengths of at least 1, every way equally likely: which of the total - 1 gaps are cuts.
    let private segments (next: unit -> uint64) (total: int) (parts: int) : int[] =
        let gaps = Array.init (total - 1) id

        for place in 0 .. parts - 2 do
            let other = place + below next (gaps.Length - place)
            let kept = gaps[place]
            gaps[place] <- gaps[other]
            gaps[other] <- kept

        let cuts = gaps |> Array.truncate (parts - 1) |> Array.sort |> Array.map ((+) 1)

        Array.append cuts [| total |]
        |> Array.mapi (fun index cut -> if index = 0 then cut else cut - cuts[index - 1])

    /// Hides spans of `ids` (without `</s>`, at least 2 of them). Spans and the text between them have random lengths of
    /// at least one; the text comes first, so position 0 is never hidden. Input and target end with `eosId`; `sentinel`
    /// gives the id of `<extra_id_n>`, of which there are `sentinels`.
    let corrupt (sentinels: int) (sentinel: int -> int) (eosId: int) (next: unit -> uint64) (ids: int[]) : EncodedRow =
        if ids.Length < 2 then
            invalidArg (nameof ids) $"{ids.Length} tokens are too few to hide some and show some"

        let hidden = max 1 (min (ids.Length - 1) (int (round (float ids.Length * density))))

        let spans =
            int (round (float hidden / meanSpan))
            |> max 1
            |> min sentinels
            |> min (ids.Length - hidden)

        let noise = segments next hidden spans
        let text = segments next (ids.Length - hidden) spans
        let input, target = ResizeArray(), ResizeArray()
        let mutable place = 0

        for span in 0 .. spans - 1 do
            input.AddRange(Array.sub ids place text[span])
            input.Add(sentinel span)
            target.Add(sentinel span)
            place <- place + text[span]
            target.AddRange(Array.sub ids place noise[span])
            place <- place + noise[span]

        input.Add eosId
        target.Add eosId

        {
            Ids = input.ToArray()
            Labels = target.ToArray()
        }
