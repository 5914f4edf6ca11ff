namespace Peft

open System
open System.Collections.Generic
open System.Runtime.InteropServices
open TorchSharp

/// A model that answers texts, alone or with a trained adapter: the short way in for programs in C# and F#.
/// Instances do not change; `Dispose` frees the adapter's merged weights and, for a model from `Load`, the base.
[<Sealed>]
type TextModel private (session: Session, model: Model, ownsBase: bool) =
    let tokensAtMost = 512
    let rowsAtOnce = 32

    let encode (texts: IEnumerable<string>) =
        texts
        |> Seq.map (fun text ->
            {
                Ids = session.Tokenizer.Encode(text, tokensAtMost)
                Labels = [| model.Shape.EosIds.Head |]
            })
        |> Array.ofSeq

    /// Loads a Hugging Face checkpoint folder, or fetches a name of the hub, `owner/name[@revision]`. `device` is `cpu`, `cuda` or `cuda:1`, `precision`
    /// `float32` or `bfloat16`. `UserError` tells what is missing or damaged.
    static member Load
        (
            modelFolder: string,
            [<Optional; DefaultParameterValue("cpu")>] device: string,
            [<Optional; DefaultParameterValue("float32")>] precision: string
        ) : TextModel =
        Native.ensure () |> ignore

        let session =
            Session
                { SessionOptions.create modelFolder "" with
                    Device = device
                    Precision = precision
                }

        session.CheckVocabulary()
        new TextModel(session, session.Model, true)

    /// The same base with the adapter of a folder, or of a name of the hub, merged into a copy of the weights it changes. The base is shared.
    member _.WithAdapter(adapterFolder: string) : TextModel =
        use _ = torch.NewDisposeScope()

        let adapted =
            AdapterFolders.load (Hub.adapter HubSettings.ofEnvironment adapterFolder) session.Fingerprint session.Model
            |> Model.merge

        for _, leaf in Model.leaves adapted do
            leaf.Value.DetachFromDisposeScope() |> ignore

        new TextModel(session, adapted, false)

    /// The number of elements of the model's tensors.
    member _.Parameters: int64 = Model.count model

    /// The answers to texts, in their order; inputs beyond 512 tokens are cut.
    member _.Generate
        (
            texts: IEnumerable<string>,
            [<Optional; DefaultParameterValue(128)>] maxNewTokens: int,
            [<Optional; DefaultParameterValue(1)>] beams: int
        ) : IReadOnlyList<string> =
        let decoding = Decoding.Beam(beams, maxNewTokens)

        encode texts
        |> Evaluation.generate decoding model session.Tokenizer session.Device rowsAtOnce ignore
        :> IReadOnlyList<string>

    /// The answer to one text.
    member this.Generate
        (
            text: string,
            [<Optional; DefaultParameterValue(128)>] maxNewTokens: int,
            [<Optional; DefaultParameterValue(1)>] beams: int
        ) : string =
        this.Generate([ text ], maxNewTokens, beams)[0]

    /// For each text the option that the model finds most likely as its answer (rank classification: the highest mean
    /// log-probability of its tokens), the first of equals; 100 options at most. Inputs beyond 512 tokens are cut.
    member _.Choose(texts: IEnumerable<string>, options: IEnumerable<string>) : IReadOnlyList<string> =
        let options = Array.ofSeq options

        if options.Length = 0 || options.Length > Evaluation.mostRanked then
            userError $"there are {options.Length} options to choose from: give 1 to {Evaluation.mostRanked}."

        let labels = options |> Array.map (fun option -> session.Tokenizer.Encode option)

        encode texts
        |> Evaluation.answers labels (Decoding.Greedy 1) model session.Tokenizer session.Device rowsAtOnce ignore
        |> Array.map (fun answer -> options[Option.get answer.Ranked])
        :> IReadOnlyList<string>

    /// The option for one text.
    member this.Choose(text: string, options: IEnumerable<string>) : string = this.Choose([ text ], options)[0]

    interface IDisposable with
        member _.Dispose() =
            let shared =
                if ownsBase then
                    HashSet()
                else
                    HashSet(Model.leaves session.Model |> List.map (fun (_, leaf) -> leaf.Value.Handle))

            for _, leaf in Model.leaves model do
                if not (shared.Contains leaf.Value.Handle) then
                    leaf.Value.Dispose()
