#include "data/formats/synthetic_words.h"

namespace thinkrec {
namespace {

constexpr std::string_view kBookAdjectives[] = {
    "Silent", "Last",   "Hidden", "Golden", "Broken", "Secret",  "Winter", "Lost",    "First",  "Burning", "Quiet", "Perfect",
    "Wild",   "Little", "Dark",   "Second", "Stolen", "Distant", "Brave",  "Crooked", "Better", "Simple",  "Whole", "Ordinary"};
constexpr std::string_view kAuthors[] = {
    "Anna Whitfield", "Thomas Okafor", "Marie Lindgren", "James Calloway", "Ruth Abernathy", "Daniel Reyes",  "Grace Holloway",
    "Peter Novak",    "Laura Kimura",  "Samuel Hart",    "Elise Moreau",   "Victor Stone",   "Nora Finch",    "Omar Haddad",
    "Claire Donovan", "Henry Marsh",   "Ivy Chen",       "Lucas Brandt",   "Amara Diallo",   "Owen Pritchard"};
constexpr std::string_view kBookPatterns[] = {"The @ *",
                                              "@ *",
                                              "The * of the @ *",
                                              "The @ *: A Novel",
                                              "* and *",
                                              "The *'s *",
                                              "@ *: How to Find Your * and Keep It",
                                              "The @ * (The @ * Series Book #)",
                                              "* by *: The Complete Guide to the @ *",
                                              "~: The @ *"};
constexpr Words kBooks = {
    {{{{"Romance", "Contemporary Romance", "Love Stories", "Small Town"},
       {"Heart", "Bride", "Kiss", "Summer", "Promise", "Duke"}},
      {{"Mystery & Thriller", "Detective", "Crime Fiction", "Suspense"},
       {"Witness", "Murder", "Detective", "Alibi", "Case", "Girl"}},
      {{"Fantasy", "Epic Fantasy", "Magic", "Dragons"}, {"Crown", "Dragon", "Sword", "Mage", "Throne", "Kingdom"}},
      {{"Science Fiction", "Space Opera", "First Contact", "Dystopian"},
       {"Star", "Orbit", "Machine", "Colony", "Signal", "Planet"}},
      {{"Historical Fiction", "World War II", "Family Saga", "Victorian"},
       {"Daughter", "War", "Letter", "House", "Orchard", "Train"}},
      {{"Children's Books", "Picture Books", "Animals", "Early Readers"}, {"Bear", "Bunny", "Moon", "Puppy", "Pirate", "Farm"}},
      {{"Cookbooks", "Food & Wine", "Healthy Cooking", "Baking"}, {"Kitchen", "Table", "Bread", "Recipe", "Oven", "Garden"}},
      {{"Self-Help", "Habits", "Happiness", "Mindfulness"}, {"Habit", "Mind", "Life", "Purpose", "Courage", "Morning"}},
      {{"Biographies & Memoirs", "Politics", "Sports", "Musicians"}, {"Memoir", "Journey", "Fight", "Voice", "Truth", "Story"}},
      {{"Christian Books & Bibles", "Devotionals", "Prayer", "Bible Study"},
       {"Faith", "Grace", "Prayer", "Light", "Psalm", "Hope"}},
      {{"Business & Money", "Leadership", "Investing", "Startups"}, {"Leader", "Market", "Strategy", "Deal", "Team", "Money"}},
      {{"Horror", "Ghosts", "Occult", "Psychological Horror"}, {"Ghost", "Grave", "Shadow", "Blood", "Asylum", "Night"}}}},
    {{{{"Slow Burn", "Fast-Paced"}},
      {{"Light-Hearted", "Dark"}},
      {{"Short Reads", "Long Reads"}},
      {{"Plain Prose", "Literary"}}}},
    kBookAdjectives,
    kAuthors,
    {},
    kBookPatterns};

constexpr std::string_view kShopAdjectives[] = {
    "Golden", "Lucky", "Blue", "Old Town", "Green", "Royal",  "Happy",       "Corner", "Sunny",  "Little", "Grand",   "Rustic",
    "Harbor", "Urban", "Red",  "Silver",   "Fresh", "Famous", "Main Street", "Twin",   "Desert", "Bay",    "Village", "Original"};
constexpr std::string_view kOwners[] = {"Tony's",   "Maria's", "Joe's",   "Lee's",  "Rosa's",   "Nick's", "Mama Lou's",
                                        "Kim's",    "Sal's",   "Bella's", "Dave's", "Nguyen's", "Abby's", "Frank's",
                                        "Miguel's", "Gus's",   "Hana's",  "Pete's", "Lola's",   "Omar's"};
constexpr std::string_view kCities[] = {"Philadelphia", "Tampa",       "Indianapolis", "Nashville", "Tucson",
                                        "New Orleans",  "Saint Louis", "Reno",         "Boise",     "Santa Barbara"};
constexpr std::string_view kShopPatterns[] = {"~ *", "@ *", "The @ *", "* & *", "~ @ *", "@ * of ^", "* #", "~"};
constexpr Words kBusinesses = {
    {{{{"Mexican", "Tacos", "Tex-Mex", "Margaritas"}, {"Taqueria", "Cantina", "Burrito", "Tacos", "Cocina", "Grill"}},
      {{"Italian", "Pizza", "Pasta", "Wine Bars"}, {"Trattoria", "Pizza", "Ristorante", "Pizzeria", "Pasta", "Osteria"}},
      {{"Japanese", "Sushi Bars", "Ramen", "Asian Fusion"}, {"Sushi", "Ramen", "Izakaya", "Sake Bar", "Hibachi", "Noodle Bar"}},
      {{"American", "Burgers", "Sandwiches", "Fast Food"}, {"Burgers", "Diner", "Grill", "Smokehouse", "Wings", "Drive-In"}},
      {{"Coffee & Tea", "Cafes", "Bakeries", "Desserts"}, {"Coffee", "Cafe", "Bakery", "Roasters", "Tea House", "Donuts"}},
      {{"Nightlife", "Bars", "Cocktail Bars", "Breweries"}, {"Tavern", "Brewing Company", "Lounge", "Pub", "Saloon", "Taproom"}},
      {{"Chinese", "Dim Sum", "Noodles", "Vietnamese"}, {"Wok", "Dragon", "Garden", "Noodle House", "Pho", "Dim Sum"}},
      {{"Breakfast & Brunch", "Waffles", "Southern", "Juice Bars"},
       {"Brunch", "Pancake House", "Eggs", "Biscuit", "Waffle", "Kitchen"}},
      {{"Beauty & Spas", "Hair Salons", "Nail Salons", "Massage"}, {"Salon", "Nails", "Spa", "Barber Shop", "Studio", "Lashes"}},
      {{"Shopping", "Books", "Home Decor", "Fashion"}, {"Boutique", "Books", "Market", "Antiques", "Outfitters", "Gallery"}},
      {{"Automotive", "Auto Repair", "Tires", "Car Wash"}, {"Auto Repair", "Tire", "Garage", "Car Wash", "Motors", "Collision"}},
      {{"Active Life", "Gyms", "Yoga", "Parks"}, {"Yoga", "Fitness", "Gym", "Park", "Climbing", "Bowling"}}}},
    {{{{"Cheap Eats", "Upscale"}}, {{"Quiet", "Lively"}}, {{"Drive-Thru", "Outdoor Seating"}}, {{"Traditional", "Trendy"}}}},
    kShopAdjectives,
    kOwners,
    kCities,
    kShopPatterns};

}  // namespace

const Words& book_words() { return kBooks; }
const Words& business_words() { return kBusinesses; }

}  // namespace thinkrec
