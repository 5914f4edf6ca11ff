using TorchSharp;

namespace Peft.CSharp;

/// <summary>The library as a C# program calls it; the F# tests run these and check what they give.</summary>
public static class Calls
{
    /// <summary>Answers with a base model, then with an adapter on the same base.</summary>
    public static (string Alone, string Adapted) Generate(string modelFolder, string adapterFolder, string text)
    {
        using var model = TextModel.Load(modelFolder);
        using var adapted = model.WithAdapter(adapterFolder);
        return (model.Generate(text, maxNewTokens: 8), adapted.Generate(text, maxNewTokens: 8, beams: 2));
    }

    /// <summary>The likeliest of some options for each text.</summary>
    public static IReadOnlyList<string> Choose(string modelFolder, string[] texts, params string[] options)
    {
        using var model = TextModel.Load(modelFolder);
        return model.Choose(texts, options);
    }

    /// <summary>Counts what the paper's LoRA on the late half trains.</summary>
    public static long CountLateLora(string modelFolder)
    {
        using var scope = torch.NewDisposeScope();
        var model = Checkpoint.load(torch.CPU, torch.float32, modelFolder);
        var adapted = Placement.Parse("late").Apply(Techniques.Parse("paper-lora(rank=4)"), 1, model);
        return adapted.TrainedElements;
    }

    /// <summary>The scores of a folder of results, by the run's name.</summary>
    public static IReadOnlyDictionary<string, double> Scores(string results) =>
        Results.Read(results).Item1.ToDictionary(run => run.Name, run => run.Score);

    /// <summary>What a user can put right arrives as one exception type with a message of one line.</summary>
    public static string ErrorOf(string modelFolder)
    {
        try
        {
            TextModel.Load(modelFolder).Generate("x");
            return "";
        }
        catch (UserError error)
        {
            return error.Message;
        }
    }
}
