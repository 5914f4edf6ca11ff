/// A second family, decoder-only, made of leaves and projections alone: it shows what the library needs of a model.
module Peft.Tests.ToyFamily

open TorchSharp
open Peft

/// A block: causal attention of one head, then relu between two maps. No norms and no positions.
[<ReferenceEquality>]
type private ToyBlock =
    {
        Q: Projection
        K: Projection
        V: Projection
        O: Projection
        Up: Projection
        Down: Projection
        Beside: Bottleneck option
    }

[<ReferenceEquality>]
type private Toy =
    {
        Precision: torch.ScalarType
        /// The head, too, where it has none of its own.
        Embedding: Leaf
        Table: TableChange list
        Head: Projection option
        Blocks: ToyBlock list
        Prompt: SoftPrompt
        Prefix: Leaf option
    }

let private width, hidden, blocks = 12L, 20L, 2

let private site block layer part name (fanIn, fanOut) : Site =
    {
        Name = $"layers.{block}.{name}"
        Stack = Decoder
        Block = block
        Layer = layer
        Part = part
        In = fanIn
        Out = fanOut
        Usual =
            match part with
            | Q -> [ Change.Update ]
            | V -> [ Change.Update; Change.RescaleOutput ]
            | K -> [ Change.RescaleOutput ]
            | Down -> [ Change.RescaleInput ]
            | _ -> []
    }

let private sitesOf (block: int) : Site list =
    let attention part name =
        site block LayerKind.SelfAttention part $"attention.{name}" (width, width)

    [
        attention Q "q"
        attention K "k"
        attention V "v"
        attention O "o"
        site block LayerKind.FeedForward Up "mlp.up" (width, hidden)
        site block LayerKind.FeedForward Down "mlp.down" (hidden, width)
    ]

let private headName = $"{Site.headName}.weight"

let private shape (vocabulary: int) : Shape =
    let sites = List.collect sitesOf [ 0 .. blocks - 1 ]

    {
        Family = "toy"
        Sites = sites
        Tensors =
            {
                Name = "embed.weight"
                Shape = [ int64 vocabulary; width ]
                Kind = TensorKind.Table
            }
            :: (sites
                |> List.map (fun site ->
                    {
                        Name = $"{site.Name}.weight"
                        Shape = [ site.Out; site.In ]
                        Kind = TensorKind.Matrix
                    }))
        Shared =
            [
                {
                    Name = headName
                    Shape = [ int64 vocabulary; width ]
                    Kind = TensorKind.Table
                }
            ]
        Width = int width
        Heads = 1
        KeyValueHeads = 1
        HeadWidth = int width
        Vocabulary = vocabulary
        PrefixWidth = 2L * int64 blocks * width
        Dropout = 0.0
        PadId = 0
        EosIds = [ 1 ]
    }

let private rewriteBlock f index (block: ToyBlock) : ToyBlock =
    match sitesOf index with
    | [ q; k; v; o; up; down ] ->
        // Bound one by one: the order of a traversal is that of the sites.
        let q = f q block.Q
        let k = f k block.K
        let v = f v block.V
        let o = f o block.O
        let up = f up block.Up

        { block with
            Q = q
            K = k
            V = v
            O = o
            Up = up
            Down = f down block.Down
        }
    | _ -> invalidOp "a block has six maps"

let private mapBlocks change (toy: Toy) =
    { toy with
        Blocks = toy.Blocks |> List.mapi change
    }

let private rewrite f = mapBlocks (rewriteBlock f)

let private mapBeside f =
    mapBlocks (fun index block ->
        { block with
            Beside = f (List.last (sitesOf index)) block.Beside
        })

let private mapLeaves f (toy: Toy) : Toy =
    let embedding = f "embed.weight" toy.Embedding

    let inHead name leaf =
        if leaf = toy.Embedding then embedding else f name leaf

    { toy with
        Embedding = embedding
        Table = TableChange.mapLeaves f "embed" toy.Table
        Head = toy.Head |> Option.map (Projection.mapLeaves inHead Site.headName)
        Prompt = SoftPrompt.mapLeaves f toy.Prompt
        Prefix = toy.Prefix |> Option.map (f "prefix_embeddings")
    }
    |> mapBeside (fun site -> Option.map (Bottleneck.mapLeaves f $"{site.Name}.parallel"))
    |> rewrite (fun site -> Projection.mapLeaves f site.Name)

/// Keys and values [1, tokens, width] that come before a block's own.
let private prefixOf (toy: Toy) (block: int) : (torch.Tensor * torch.Tensor) option =
    toy.Prefix
    |> Option.map (fun leaf ->
        let part number =
            leaf.Value.narrow(1L, int64 (2 * block + number) * width, width).unsqueeze 0L

        part 0, part 1)

/// softmax(q kᵀ) v; `allowed` [rows, queries, keys] is 1 where a query may look.
let private attend (allowed: torch.Tensor) (q: torch.Tensor) (k: torch.Tensor) (v: torch.Tensor) =
    let scores = q.matmul(k.transpose (1L, 2L)).``to`` torch.float32

    scores.masked_fill(allowed.eq (0L.ToScalar()), (-1e9).ToScalar()).softmax(-1L).``to``(v.dtype).matmul v

/// A block on x [rows, length, width]; `remember` turns this pass's keys and values into all there are to see.
let private block pass (allowed: torch.Tensor) remember index (block: ToyBlock) (x: torch.Tensor) =
    let apply = Projection.apply pass
    let keys, values = remember index (apply block.K x) (apply block.V x)
    let attended = x.add (attend allowed (apply block.Q x) keys values |> apply block.O)
    let inner = (apply block.Up attended).relu() |> apply block.Down

    match block.Beside with
    | Some net -> attended.add(inner).add(Bottleneck.apply net attended)
    | None -> attended.add inner

let private embed (toy: Toy) (ids: torch.Tensor) =
    (TableChange.rowsOf toy.Table toy.Embedding (ids.flatten ())).view(ids.size 0, -1L, width).``to`` toy.Precision

let private headOf (toy: Toy) =
    toy.Head |> Option.defaultValue (Dense toy.Embedding)

let private isTied (toy: Toy) =
    Projection.weight (headOf toy) = toy.Embedding

let private head pass (toy: Toy) (x: torch.Tensor) =
    let logits = Projection.apply pass (headOf toy) x

    if isTied toy then
        TableChange.follow toy.Table toy.Embedding x logits
    else
        logits

/// 1 where query i of the last `queries` positions may see a position [rows, queries, positions]; a prefix is always seen.
let private allowed (before: int64) (mask: torch.Tensor) (queries: int64) =
    let rows, length = mask.size 0, mask.size 1

    let causal =
        torch.ones([| queries; length |], dtype = torch.int64).tril(length - queries)

    let own = causal.unsqueeze(0L).mul(mask.unsqueeze 1L)
    torch.cat ([| torch.ones ([| rows; queries; before |], dtype = torch.int64); own |], 2L)

let private prefixTokens (toy: Toy) =
    match toy.Prefix with
    | Some leaf -> leaf.Value.size 0
    | None -> 0L

/// Hidden states of ids [rows, length] and their mask, with the soft prompt before them.
let private states pass (toy: Toy) (ids: torch.Tensor) (mask: torch.Tensor) =
    let x, mask = embed toy ids |> SoftPrompt.before pass toy.Prompt (Some mask)
    let mask = Option.get mask
    let sees = allowed (prefixTokens toy) mask (x.size 1)

    let remember index (keys: torch.Tensor) (values: torch.Tensor) =
        match prefixOf toy index with
        | None -> keys, values
        | Some(before, after) ->
            let behind (prefix: torch.Tensor) own =
                torch.cat ([| prefix.``to``(x.dtype).expand(x.size 0, -1L, -1L); own |], 1L)

            behind before keys, behind after values

    toy.Blocks
    |> List.indexed
    |> List.fold (fun x (index, one) -> block pass sees remember index one x) x

/// Inputs moved to the right, so that every answer begins in one column, and their mask.
let private moved (ids: torch.Tensor) (mask: torch.Tensor option) =
    let mask = mask |> Option.defaultWith (fun () -> torch.ones_like ids)

    let missing = mask.sum(1L, keepdim = true).neg().add((ids.size 1).ToScalar())
    let places = torch.arange(ids.size 1, dtype = torch.int64).unsqueeze(0L).sub missing
    let isThere = places.ge(0L.ToScalar()).``to`` torch.int64
    ids.gather(1L, places.clamp_min (0L.ToScalar())).mul isThere, isThere

let private logits pass (toy: Toy) (batch: Batch) =
    let pass = pass
    let inputs, mask = moved batch.InputIds batch.Mask
    let count = batch.Labels.size 1
    let told = batch.Labels.narrow(1L, 0L, count - 1L).clamp_min(0L.ToScalar())
    let ids = torch.cat ([| inputs; told |], 1L)
    let mask = torch.cat ([| mask; torch.ones_like told |], 1L)
    let x = states pass toy ids mask
    head pass toy (x.narrow (1L, x.size 1 - count, count))

/// Decodes by the definition: the whole sequence anew at every step.
let private steps pass (toy: Toy) (request: StepRequest) : IStepDecoder =
    let inputs, mask = moved request.Inputs request.InputMask
    let beams = int64 request.Lines

    let start =
        [| for row in 0L .. inputs.size 0 - 1L -> inputs[row].data<int64>().ToArray() |]

    let mutable pass = pass
    let mutable ids = inputs.repeat_interleave (beams, dim = 0L)
    let mutable mask = mask.repeat_interleave (beams, dim = 0L)
    let kept (tensor: torch.Tensor) = tensor.MoveToOuterDisposeScope()

    { new IStepDecoder with
        member _.Begin = start
        member _.Prepare _ = ()

        member _.ShouldLeave isDone =
            Array.exists id isDone && not (Array.forall id isDone)

        member _.Step(last, step) =
            // A step that has been before forgets what came after it.
            let before = inputs.size 1 + int64 (max 0 (step - 1))
            ids <- kept (ids.narrow(1L, 0L, before).clone())
            mask <- kept (mask.narrow(1L, 0L, before).clone())

            if step > 0 then
                let fresh = torch.tensor(last).view(-1L, 1L)
                ids <- kept (torch.cat ([| ids; fresh |], 1L))
                mask <- kept (torch.cat ([| mask; torch.ones_like fresh |], 1L))

            // The beams of a row share its route.
            let x = states pass toy ids mask
            (head pass toy (x.narrow (1L, x.size 1 - 1L, 1L))).squeeze 1L

        member _.Select(parents, _) =
            use index = torch.tensor (Array.map int64 parents)
            ids <- ids.index_select (0L, index)
            mask <- mask.index_select (0L, index)

            pass <-
                { pass with
                    Routes =
                        pass.Routes
                        |> Option.map (fun routes ->
                            parents
                            |> Array.chunkBySize request.Lines
                            |> Array.map (fun own -> routes[own[0] / request.Lines]))
                }
    }

let rec private ofToy (shape: Shape) (toy: Toy) : Model =
    let again = ofToy shape

    {
        Shape = shape
        Config = $"""{{ "model_type": "toy", "vocab_size": {shape.Vocabulary} }}"""
        Precision = toy.Precision
        Embedding = toy.Embedding
        Table = toy.Table
        WithTable = fun changes -> again { toy with Table = changes }
        Head = headOf toy
        WithHead =
            fun head ->
                match head with
                | Dense weight when weight = toy.Embedding -> again { toy with Head = None }
                | _ -> again { toy with Head = Some head }
        Shared = if isTied toy then [ headName ] else []
        Untie =
            fun _ ->
                let copy = Frozen(toy.Embedding.Value.detach ())

                let own =
                    headOf toy
                    |> Projection.mapLeaves (fun _ leaf -> if leaf = toy.Embedding then copy else leaf) Site.headName

                again { toy with Head = Some own }
        Joined = fun () -> Some(again toy)
        Rewrite = fun f -> again (rewrite f toy)
        MapLeaves = fun f -> again (mapLeaves f toy)
        MapBeside = fun f -> again (mapBeside f toy)
        WithPrompt = fun prompt -> again { toy with Prompt = prompt }
        WithPrefix = fun prefix -> again { toy with Prefix = prefix }
        WithPrecision = fun dtype -> again { toy with Precision = dtype }
        Encoder = None
        Logits = fun pass batch -> logits pass toy batch
        Steps = fun pass request -> steps pass toy request
    }

/// A toy with random weights and so many tokens; everything follows from the seed.
let model (vocabulary: int) (seed: int) : Model =
    use generator = new torch.Generator(uint64 seed, torch.CPU)

    let draw (extents: int64 list) (deviation: float) =
        Frozen(torch.randn(List.toArray extents, generator = generator).mul(deviation.ToScalar()))

    let dense (site: Site) =
        Dense(draw [ site.Out; site.In ] (0.6 * float site.In ** -0.5))

    let make index : ToyBlock =
        match List.map dense (sitesOf index) with
        | [ q; k; v; o; up; down ] ->
            {
                Q = q
                K = k
                V = v
                O = o
                Up = up
                Down = down
                Beside = None
            }
        | _ -> invalidOp "a block has six maps"

    ofToy
        (shape vocabulary)
        {
            Precision = torch.float32
            Embedding = draw [ int64 vocabulary; width ] 1.0
            Table = []
            Head = None
            Blocks = List.init blocks make
            Prompt = NoPrompt
            Prefix = None
        }
